use tidegate_engine::{chain, ports::StoreError};

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseFailure {
    /// A unique constraint is violated.
    Conflict,
    /// The disk or the quota of the database is full.
    NoSpace,
    /// Another transaction holds a lock for too long.
    Locked,
    /// The statement took too long, or lost against another transaction.
    Contention,
    /// The database cannot be reached, does not answer in time, or cannot write now.
    Unavailable,
    /// The statement or stored data is invalid.
    Internal,
}

impl DatabaseFailure {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        use sqlx::Error;
        match error {
            Error::Io(_)
            | Error::Tls(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => Self::Unavailable,
            Error::Database(error) if error.is_unique_violation() => Self::Conflict,
            Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // SQLite's codes have at most four digits.
                if code.len() == 5 {
                    Self::of_sqlstate(&code)
                } else {
                    Self::of_sqlite(&code)
                }
            }
            _ => Self::Internal,
        }
    }

    /// A result code of SQLite; the low byte of an extended one is the primary one.
    fn of_sqlite(code: &str) -> Self {
        match code.parse::<u32>().map(|code| code & 0xFF) {
            // SQLITE_FULL.
            Ok(13) => Self::NoSpace,
            // SQLITE_BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CANTOPEN, PROTOCOL.
            Ok(5..=10 | 14 | 15) => Self::Unavailable,
            _ => Self::Internal,
        }
    }

    /// A SQLSTATE of PostgreSQL.
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Disk full.
            "53100" => Self::NoSpace,
            // Lock not available.
            "55P03" => Self::Locked,
            // Serialization failure, deadlock victim, statement timeout.
            "40001" | "40P01" | "57014" => Self::Contention,
            // Read-only transaction (on a standby), idle in a transaction for too long, disk error.
            "25006" | "25P03" | "58030" => Self::Unavailable,
            // Connection lost, out of resources, ended by an operator.
            _ if ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Self::Unavailable
            }
            _ => Self::Internal,
        }
    }

    /// Whether the connection must be closed, because the state of its transaction is unknown, or because another
    /// server of the database may work.
    pub(crate) fn breaks_connection(self) -> bool {
        matches!(
            self,
            Self::NoSpace | Self::Locked | Self::Contention | Self::Unavailable
        )
    }

    /// Whether other writes would fail too.
    pub(crate) fn concerns_all_writes(self) -> bool {
        matches!(self, Self::NoSpace | Self::Unavailable)
    }
}

/// Converts the error of a statement. `context` is a verb and an object: `read firmware`.
pub(crate) fn failed(context: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        let reason = |error| format!("{context}: {}", chain(error));
        match DatabaseFailure::of(&error) {
            DatabaseFailure::NoSpace => StoreError::NoSpace(reason(&error)),
            DatabaseFailure::Locked => StoreError::Locked(reason(&error)),
            DatabaseFailure::Contention | DatabaseFailure::Unavailable => {
                StoreError::Unavailable(reason(&error))
            }
            DatabaseFailure::Conflict => {
                StoreError::Conflict(format!("{context}: it exists already"))
            }
            DatabaseFailure::Internal => {
                let source = match error {
                    // sqlx's message contains the message of its source: keep the source only.
                    sqlx::Error::Database(error) => error.into_error(),
                    error => Box::new(error),
                };
                StoreError::Internal { context, source }
            }
        }
    }
}

/// Like [`failed`], with the message `message` for a violated unique constraint.
pub(crate) fn conflict(
    context: &'static str,
    message: String,
) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        if DatabaseFailure::of(&error) == DatabaseFailure::Conflict {
            StoreError::Conflict(message)
        } else {
            failed(context)(error)
        }
    }
}

/// Converts errors that do not come from sqlx, such as invalid stored data.
pub(crate) fn internal(
    context: &'static str,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    move |source| StoreError::Internal { context, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_sqlite_are_classified() {
        use DatabaseFailure as F;
        for (name, code, expected) in [
            ("SQLITE_FULL", "13", F::NoSpace),
            ("SQLITE_IOERR", "10", F::Unavailable),
            ("SQLITE_IOERR_WRITE", "778", F::Unavailable),
            ("SQLITE_NOMEM", "7", F::Unavailable),
            ("SQLITE_BUSY", "5", F::Unavailable),
            ("SQLITE_BUSY_SNAPSHOT", "517", F::Unavailable),
            ("SQLITE_CONSTRAINT", "19", F::Internal),
            ("SQLITE_ERROR", "1", F::Internal),
            ("none", "", F::Internal),
        ] {
            let failure = F::of_sqlite(code);
            assert_eq!(failure, expected, "{name}");
            // It may have rolled back by itself, so the state of the connection is unknown.
            let breaks = expected != F::Internal;
            assert_eq!(failure.breaks_connection(), breaks, "{name}");
            assert_eq!(failure.concerns_all_writes(), breaks, "{name}");
        }
    }
}
