//! A device that acknowledged a cancellation after it may have installed the firmware. Some clients report that all chunks
//! are installed, acknowledge the cancellation, and then boot the new version. The next report of the version decides.

use super::{EventError, FileFetch, UpdateState, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback, Finished},
    time::Timestamp,
};

impl UpdateState {
    /// True if the device may have installed the firmware, although it did not report success: its progress is complete,
    /// or it has fetched the files whole and fetches none.
    fn may_have_installed(&self) -> bool {
        let is_progress_complete = self.progress.is_some_and(|(n, of)| of > 0 && n >= of);
        self.options.update_type.installs()
            && (is_progress_complete || self.fetch == Some(FileFetch::Complete))
    }

    /// True if the device acknowledged the cancellation and its next report of its version decides.
    pub fn awaits_version(&self) -> bool {
        self.status == UpdateStatus::Verifying && self.cancel_acknowledged
    }

    /// Applies the device's acknowledgement of the cancellation.
    pub(super) fn acknowledge_cancel(mut self, now: Timestamp) -> Self {
        if !self.may_have_installed() {
            return self.end(UpdateStatus::Cancelled, now);
        }
        self.cancel_acknowledged = true;
        self.status = UpdateStatus::Verifying;
        self.ends_at = self.own_time(now).plus(self.options.timeouts.update);
        self
    }

    /// Applies a reported version to an update that awaits it.
    pub(super) fn decide_by_version(mut self, is_target: bool, now: Timestamp) -> Self {
        if is_target {
            self.installed_reported = true;
            return self.end(UpdateStatus::Completed, now);
        }
        self.end(UpdateStatus::Cancelled, now)
    }

    /// Applies feedback to an update that awaits a version: a result is as good as the version.
    pub(super) fn decide_by_feedback(
        self,
        feedback: &Feedback,
        now: Timestamp,
    ) -> Result<Self, EventError> {
        match (feedback.execution, feedback.finished) {
            (Execution::Closed, finished) => {
                Ok(self.decide_by_version(finished != Finished::Failure, now))
            }
            _ => Err(EventError::Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{SuccessCriteria, UpdateEvent, UpdateOptions},
        *,
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn at(minute: i64) -> Timestamp {
        Timestamp(minute * 60_000)
    }

    fn feedback(
        execution: Execution,
        finished: Finished,
        progress: Option<(u32, u32)>,
    ) -> Feedback {
        Feedback {
            progress,
            ..Feedback::new(execution, finished)
        }
    }

    /// The state after these events and a cancellation, which the device acknowledges in minute 30.
    fn acknowledged(events: &[UpdateEvent]) -> UpdateState {
        let options = UpdateOptions::forced(HOUR);
        let mut state = UpdateState::offered(SuccessCriteria::Reported, options, at(0));
        let answer = feedback(Execution::Canceled, Finished::Success, None);
        let cancel = [
            UpdateEvent::CancelRequested,
            UpdateEvent::CancelFeedback(answer),
        ];
        for event in events.iter().chain(&cancel) {
            state = state.after(event, at(30)).expect("a valid event");
        }
        state
    }

    fn proceeding(progress: Option<(u32, u32)>) -> UpdateEvent {
        UpdateEvent::Feedback(feedback(Execution::Proceeding, Finished::None, progress))
    }

    fn fetched() -> [UpdateEvent; 2] {
        [UpdateEvent::FetchBegun, UpdateEvent::FetchCompleted]
    }

    #[test]
    fn only_a_device_that_may_have_installed_is_awaited() {
        let again = [&fetched()[..], &[UpdateEvent::FetchBegun]].concat();
        for (events, awaited) in [
            (vec![], false),
            (vec![UpdateEvent::Retrieved], false),
            (vec![proceeding(None)], false),
            (vec![proceeding(Some((3, 4)))], false),
            (vec![proceeding(Some((0, 0)))], false),
            (vec![proceeding(Some((4, 4)))], true),
            (vec![UpdateEvent::FetchBegun], false),
            (fetched().to_vec(), true),
            (again, false),
        ] {
            let state = acknowledged(&events);
            assert_eq!(state.awaits_version(), awaited, "{events:?}");
            let expected = if awaited {
                UpdateStatus::Verifying
            } else {
                UpdateStatus::Cancelled
            };
            assert_eq!(state.status, expected, "{events:?}");
        }
    }

    #[test]
    fn the_next_report_decides() {
        use UpdateStatus as S;
        let version = |is_target| UpdateEvent::VersionReported { is_target };
        let closed = |finished| UpdateEvent::Feedback(feedback(Execution::Closed, finished, None));
        for (event, minute, expected, installed) in [
            (version(true), 31, Ok(S::Completed), true),
            (version(false), 31, Ok(S::Cancelled), false),
            (closed(Finished::Success), 31, Ok(S::Completed), true),
            (closed(Finished::Failure), 31, Ok(S::Cancelled), false),
            (proceeding(None), 31, Err(EventError::Closed), false),
            (UpdateEvent::DeadlinePassed, 89, Ok(S::Verifying), false),
            (UpdateEvent::DeadlinePassed, 90, Ok(S::Cancelled), false),
            (UpdateEvent::ForceCancel, 31, Ok(S::Cancelled), false),
            (UpdateEvent::CancelRequested, 31, Ok(S::Verifying), false),
        ] {
            let state = acknowledged(&fetched());
            assert!(state.needs_version_report(at(30)));
            let after = state.after(&event, at(minute));
            let installed_reported = after.as_ref().is_ok_and(|after| after.installed_reported);
            assert_eq!(after.map(|after| after.status), expected, "{event:?}");
            assert_eq!(installed_reported, installed, "{event:?}");
        }
    }

    #[test]
    fn a_second_answer_to_the_cancellation_is_refused() {
        let answer = feedback(Execution::Closed, Finished::Success, None);
        let again = acknowledged(&fetched()).after(&UpdateEvent::CancelFeedback(answer), at(31));
        assert_eq!(again, Err(EventError::Closed));
    }
}
