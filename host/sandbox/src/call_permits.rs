//! Limits on concurrent plugin calls: decisions never wait for interactive calls.

use std::sync::Arc;

use tidegate_engine::ports::CallFailure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallClass {
    /// Advances a running campaign.
    Decisions,
    /// Starts a campaign: long calls.
    Planning,
    /// Serves a user's request: validates a config, replays a call, inspects an upload.
    Interactive,
}

/// Permits for calls. Each class has its own.
pub(crate) struct CallPermits([Arc<Semaphore>; 3]);

impl CallClass {
    const ALL: [Self; 3] = [Self::Decisions, Self::Planning, Self::Interactive];

    /// The class's number of permits, derived from that of [`CallClass::Decisions`].
    fn permits(self, decisions: usize) -> usize {
        match self {
            Self::Decisions => decisions,
            Self::Planning => (decisions / 2).max(1),
            Self::Interactive => (decisions / 4).max(1),
        }
    }
}

impl CallPermits {
    /// Permits for this number of concurrent decisions.
    pub(crate) fn new(decisions: usize) -> Self {
        Self(CallClass::ALL.map(|class| Arc::new(Semaphore::new(class.permits(decisions)))))
    }

    /// The total number of permits.
    pub(crate) fn total(decisions: usize) -> usize {
        let permits = CallClass::ALL.map(|class| class.permits(decisions));
        permits.iter().sum()
    }

    /// Waits for a permit. Dropping it releases it.
    pub(crate) async fn acquire(
        &self,
        class: CallClass,
    ) -> Result<OwnedSemaphorePermit, CallFailure> {
        Arc::clone(&self.0[class as usize])
            .acquire_owned()
            .await
            .map_err(|error| CallFailure::Host(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_at_least_one_permit() {
        for (decisions, total) in [(1, 3), (2, 4), (4, 7), (64, 112)] {
            assert_eq!(CallPermits::total(decisions), total);
        }
    }
}
