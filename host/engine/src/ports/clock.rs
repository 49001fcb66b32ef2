use tidegate_core::time::Timestamp;

/// The current time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Whether it shows the real time. A simulated one is not compared with the database's.
    fn is_wall_clock(&self) -> bool {
        false
    }
}

/// Cryptographically secure randomness.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
