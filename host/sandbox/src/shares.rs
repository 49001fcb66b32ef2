//! Who may call plugins at once: decisions never wait behind people.

use std::sync::Arc;

use tidegate_engine::ports::CallFailure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// A campaign that runs is to go on.
    Decisions,
    /// A campaign is to start: long calls.
    Planning,
    /// Somebody wants to know: configs, replays, uploads.
    People,
}

/// Places for calls. What runs in one share takes no place of another.
pub(crate) struct Shares([Arc<Semaphore>; 3]);

impl Share {
    const ALL: [Self; 3] = [Self::Decisions, Self::Planning, Self::People];

    /// How many may run when so many decisions may.
    fn places(self, decisions: usize) -> usize {
        match self {
            Self::Decisions => decisions,
            Self::Planning => (decisions / 2).max(1),
            Self::People => (decisions / 4).max(1),
        }
    }
}

impl Shares {
    /// For so many decisions at once.
    pub(crate) fn new(decisions: usize) -> Self {
        Self(Share::ALL.map(|share| Arc::new(Semaphore::new(share.places(decisions)))))
    }

    /// All places together.
    pub(crate) fn total(decisions: usize) -> usize {
        let places = Share::ALL.map(|share| share.places(decisions));
        places.iter().sum()
    }

    /// A place, as soon as one is free; free again when it is dropped.
    pub(crate) async fn place(&self, share: Share) -> Result<OwnedSemaphorePermit, CallFailure> {
        Arc::clone(&self.0[share as usize])
            .acquire_owned()
            .await
            .map_err(|error| CallFailure::Host(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_place_however_few_there_are() {
        for (decisions, total) in [(1, 3), (2, 4), (4, 7), (64, 112)] {
            assert_eq!(Shares::total(decisions), total);
        }
    }
}
