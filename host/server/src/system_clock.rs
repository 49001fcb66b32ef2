//! The only module that reads the system clock and its source of randomness.

use rand::{TryRng as _, rngs::SysRng};
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Clock, Entropy};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn is_wall_clock(&self) -> bool {
        true
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the only implementation that reads the system clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// The system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness there are no secrets, so the server must not run.
        SysRng
            .try_fill_bytes(bytes)
            .expect("the operating system provides randomness");
    }
}
