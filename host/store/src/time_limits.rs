use std::time::Duration;

/// How long the store waits for its database. When a limit is exceeded, the operation fails as unavailable and its
/// connection is closed, because its state is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// For a new connection, and for the first answer of one that was idle.
    pub connect: Duration,
    /// For a free connection while transactions use all of them, and for SQLite's lock.
    pub busy: Duration,
    /// For a row that another transaction has locked. PostgreSQL only.
    pub lock: Duration,
    /// For a statement, by PostgreSQL's clock.
    pub statement: Duration,
    /// For a statement that reads few rows by index, to answer a device.
    pub point_read: Duration,
    /// For a statement that writes waiting reports or registrations.
    pub batch_statement: Duration,
    /// How long PostgreSQL keeps a transaction of a server that sends nothing, with its locks.
    pub idle_in_transaction: Duration,
    /// Period of a server's notifications to itself, which show that it receives those of others. PostgreSQL only.
    pub notification_period: Duration,
    /// Maximum time without a notification, after which the connection counts as lost. PostgreSQL only.
    pub notification_timeout: Duration,
    /// How much later than PostgreSQL this server gives a statement up: then the network is dead.
    pub network: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            busy: Duration::from_secs(20),
            lock: Duration::from_secs(2),
            statement: Duration::from_secs(30),
            point_read: Duration::from_secs(3),
            batch_statement: Duration::from_secs(8),
            idle_in_transaction: Duration::from_secs(10),
            notification_period: Duration::from_secs(3),
            notification_timeout: Duration::from_secs(10),
            network: Duration::from_secs(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_notices_within_ten_seconds_that_it_receives_nothing() {
        let limits = TimeLimits::default();
        assert_eq!(limits.notification_period, Duration::from_secs(3));
        assert_eq!(limits.notification_timeout, Duration::from_secs(10));
    }
}
