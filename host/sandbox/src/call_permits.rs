//! Who may call plugins at once: decisions never wait behind people.

use std::sync::Arc;

use tidegate_engine::ports::CallFailure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallClass {
    /// A campaign that runs is to go on.
    Decisions,
    /// A campaign is to start: long calls.
    Planning,
    /// Somebody wants to know: configs, replays, uploads.
    Interactive,
}

/// Places for calls. What runs in one class takes no place of another.
pub(crate) struct CallPermits([Arc<Semaphore>; 3]);

impl CallClass {
    const ALL: [Self; 3] = [Self::Decisions, Self::Planning, Self::Interactive];

    /// How many may run when so many decisions may.
    fn permits(self, decisions: usize) -> usize {
        match self {
            Self::Decisions => decisions,
            Self::Planning => (decisions / 2).max(1),
            Self::Interactive => (decisions / 4).max(1),
        }
    }
}

impl CallPermits {
    /// For so many decisions at once.
    pub(crate) fn new(decisions: usize) -> Self {
        Self(CallClass::ALL.map(|class| Arc::new(Semaphore::new(class.permits(decisions)))))
    }

    /// All places together.
    pub(crate) fn total(decisions: usize) -> usize {
        let permits = CallClass::ALL.map(|class| class.permits(decisions));
        permits.iter().sum()
    }

    /// A place, as soon as one is free; free again when it is dropped.
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
