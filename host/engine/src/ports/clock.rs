use tidegate_core::time::Timestamp;

/// The current time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Whether it shows the real time. Servers record heartbeats by it.
    fn is_wall_clock(&self) -> bool {
        false
    }

    /// Whether it is corrected to the time of the database.
    fn follows_database(&self) -> bool {
        self.is_wall_clock()
    }
}

/// Cryptographically secure randomness.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
