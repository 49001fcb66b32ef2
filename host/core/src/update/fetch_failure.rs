//! Files that the device could not fetch, because the server could not read them.

use std::time::Duration;

use super::UpdateState;
use crate::time::Timestamp;

/// Minimum time between two records of the same failure: devices repeat a failed download within seconds.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// The last failure of the server to read a file that the device fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure {
    /// When it was.
    pub at: Timestamp,
    /// The file, and why it could not be read.
    pub reason: String,
}

impl UpdateState {
    pub(super) fn with_fetch_failure(mut self, reason: &str, now: Timestamp) -> Self {
        let is_known = self
            .fetch_failure
            .as_ref()
            .is_some_and(|known| known.reason == reason && now.since(known.at) < MIN_INTERVAL);
        if self.status.is_open() && !is_known {
            self.fetch_failure = Some(FetchFailure {
                at: now,
                reason: reason.to_owned(),
            });
        }
        self
    }

    /// The last failure, as a sentence. `None`: there was none, or the update completed nevertheless.
    pub fn fetch_failure_reason(&self, now: Timestamp) -> Option<String> {
        let failure = self.fetch_failure.as_ref()?;
        let ago = now.since(failure.at).as_secs();
        let is_relevant = self.status != super::UpdateStatus::Completed;
        is_relevant.then(|| {
            format!(
                "the device could not fetch a file, {ago} s ago, because the server could not read it: {}",
                failure.reason
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SuccessCriteria, UpdateEvent, UpdateOptions},
        *,
    };

    fn failed(reason: &str) -> UpdateEvent {
        UpdateEvent::FetchFailed {
            reason: reason.to_owned(),
        }
    }

    fn second(n: i64) -> Timestamp {
        Timestamp(n * 1000)
    }

    #[test]
    fn the_same_failure_is_recorded_once_a_minute() {
        let options = UpdateOptions::forced(Duration::from_hours(1));
        let offered = UpdateState::offered(SuccessCriteria::Reported, options, second(0));
        assert_eq!(offered.fetch_failure_reason(second(1)), None);
        let mut state = offered.clone();
        for (at, reason, recorded_at) in [
            (10, "a.bin: lost", 10),
            (40, "a.bin: lost", 10),
            (41, "b.bin: lost", 41),
            (90, "b.bin: lost", 41),
            (101, "b.bin: lost", 101),
        ] {
            state = state.after(&failed(reason), second(at)).expect("an event");
            let failure = state.fetch_failure.clone().expect("a failure");
            assert_eq!(
                (failure.at, failure.reason.as_str()),
                (second(recorded_at), reason)
            );
        }
        assert!(state.differs_only_in_report(&offered));
        let reason = state.fetch_failure_reason(second(111)).expect("a reason");
        assert!(
            reason.contains("10 s ago") && reason.ends_with("b.bin: lost"),
            "{reason}"
        );
    }
}
