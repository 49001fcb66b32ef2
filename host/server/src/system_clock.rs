//! The only place where the host reads a clock or draws randomness.

use rand::{TryRng as _, rngs::SysRng};
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Clock, Entropy};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is handed in everywhere else"
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
        // Without it no secret would be one: better no server than such a server.
        SysRng
            .try_fill_bytes(bytes)
            .expect("the operating system gives randomness");
    }
}
