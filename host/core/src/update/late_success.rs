//! A success after an update ended: its device was silent (the update timed out, or its cancellation was not answered),
//! but not idle, or it reported a failure and runs the new version.

use super::{EventError, Update, UpdateState, UpdateStatus};
use crate::{feedback::Feedback, time::Timestamp, version::is_same};

impl Update {
    /// True if the device came to the new version while the update was open, going by `sw_version`, the version that it
    /// last reported. A version that began a soak has had its effect.
    pub fn was_seen_running(&self, sw_version: Option<&str>) -> bool {
        let is_target = |version: &str| is_same(&self.to_version, version);
        self.state.options.update_type.installs()
            && self.state.soaks_until.is_none()
            && sw_version.is_some_and(is_target)
            && !self.from_version.as_deref().is_some_and(is_target)
    }
}

impl UpdateState {
    /// True if the update ended so that a success may still follow. Whether it ended by silence, and whether the device
    /// was offered no later update, the caller knows.
    pub fn may_succeed_late(&self) -> bool {
        matches!(
            self.status,
            UpdateStatus::TimedOut | UpdateStatus::Cancelled
        )
    }

    /// Takes feedback of success after the update ended by silence. The caller has checked that it did, and that the device
    /// was offered no later update.
    pub(super) fn apply_late_success(
        self,
        feedback: &Feedback,
        now: Timestamp,
    ) -> Result<Self, EventError> {
        let was_confirmed = self.options.confirmation.is_none() || self.started_at.is_some();
        if !self.may_succeed_late() || !was_confirmed {
            return Err(EventError::Closed);
        }
        let after = self.reopened(now).apply_feedback(feedback, now)?;
        match after.status {
            UpdateStatus::Completed | UpdateStatus::Verifying => Ok(after),
            _ => Err(EventError::Closed),
        }
    }

    /// True if the new version, reported now, completes the update although it has ended. A device that closed its update
    /// as failed contradicts itself with a second feedback, but not with the version that it runs.
    pub fn is_completed_by_version(&self) -> bool {
        (self.may_succeed_late() || self.status == UpdateStatus::Failed)
            && self.options.update_type.installs()
    }

    /// The update as if it had not ended, with its whole time.
    pub(super) fn reopened(mut self, now: Timestamp) -> Self {
        self.status = UpdateStatus::Installing;
        self.completed_at = None;
        self.earlier_error = self.error.take();
        self.soaks_until = None;
        self.ends_at = now.plus(self.options.timeouts.update);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Confirmation, OnDenied, SuccessCriteria, UpdateEvent, UpdateOptions, UpdateType},
        *,
    };
    use crate::feedback::{Execution, Finished};

    const MINUTE: Duration = Duration::from_mins(1);

    fn timed_out(success_criteria: SuccessCriteria, options: UpdateOptions) -> UpdateState {
        let offered = UpdateState::offered(success_criteria, options, Timestamp(0));
        let end = offered.timeout_at;
        let ended = offered.after(&UpdateEvent::DeadlinePassed, end);
        let ended = ended.expect("an overdue update");
        assert_eq!(ended.status, UpdateStatus::TimedOut);
        ended
    }

    fn late(
        state: UpdateState,
        execution: Execution,
        finished: Finished,
    ) -> Result<UpdateState, EventError> {
        let feedback = Feedback::new(execution, finished);
        state.after(&UpdateEvent::LateSuccess(feedback), Timestamp(1_000_000))
    }

    #[test]
    fn a_success_after_the_timeout_counts_and_nothing_else_does() {
        use Execution as E;
        use Finished as F;
        use SuccessCriteria as C;
        use UpdateStatus as S;
        for (criteria, execution, finished, expected) in [
            (C::Reported, E::Closed, F::Success, Ok(S::Completed)),
            (C::Reported, E::Closed, F::None, Ok(S::Completed)),
            (C::Attested, E::Closed, F::Success, Ok(S::Verifying)),
            (C::Reported, E::Closed, F::Failure, Err(EventError::Closed)),
            (C::Reported, E::Proceeding, F::None, Err(EventError::Closed)),
            (C::Reported, E::Downloaded, F::None, Err(EventError::Closed)),
        ] {
            let state = timed_out(criteria, UpdateOptions::forced(MINUTE));
            let after = late(state, execution, finished);
            assert_eq!(after.map(|after| after.status), expected, "{execution:?}");
        }
        let verifying = late(
            timed_out(C::Attested, UpdateOptions::forced(MINUTE)),
            E::Closed,
            F::Success,
        );
        let verifying = verifying.expect("taken");
        assert_eq!(verifying.timeout_at, Timestamp(1_060_000));
        assert_eq!((verifying.completed_at, verifying.error), (None, None));
        assert!(verifying.installed_reported);
    }

    #[test]
    fn a_device_that_reports_the_new_version_after_the_timeout_has_succeeded() {
        let report = |criteria, options, is_target| {
            let event = UpdateEvent::VersionReported { is_target };
            let after = timed_out(criteria, options).after(&event, Timestamp(1_000_000));
            after.expect("versions are never refused")
        };
        let forced = || UpdateOptions::forced(MINUTE);
        for criteria in [SuccessCriteria::Reported, SuccessCriteria::Attested] {
            let after = report(criteria, forced(), true);
            assert_eq!(after.status, UpdateStatus::Completed);
            assert_eq!(after.error, None);
            let other = report(criteria, forced(), false);
            assert_eq!(other.status, UpdateStatus::TimedOut);
        }
        let soaked = report(SuccessCriteria::Soaked(MINUTE), forced(), true);
        assert_eq!(soaked.status, UpdateStatus::Verifying);
        assert_eq!(soaked.soaks_until, Some(Timestamp(1_060_000)));
        assert_eq!(soaked.timeout_at, Timestamp(1_060_000));
        let download_only = UpdateOptions {
            update_type: UpdateType::DownloadOnly,
            ..forced()
        };
        let after = report(SuccessCriteria::Reported, download_only, true);
        assert_eq!(after.status, UpdateStatus::TimedOut);
    }

    fn failed(success_criteria: SuccessCriteria, options: UpdateOptions) -> UpdateState {
        let offered = UpdateState::offered(success_criteria, options, Timestamp(0));
        let failure = Feedback {
            messages: vec!["no space left".to_owned()],
            ..Feedback::new(Execution::Closed, Finished::Failure)
        };
        let event = UpdateEvent::Feedback(failure);
        offered.after(&event, Timestamp(1)).expect("a failure")
    }

    #[test]
    fn a_device_that_runs_the_new_version_after_its_failure_has_succeeded() {
        use SuccessCriteria as C;
        use UpdateStatus as S;
        let forced = || UpdateOptions::forced(MINUTE);
        let download_only = || UpdateOptions {
            update_type: UpdateType::DownloadOnly,
            ..forced()
        };
        for (criteria, options, is_target, status) in [
            (C::Reported, forced(), true, S::Completed),
            (C::Attested, forced(), true, S::Completed),
            (C::Soaked(MINUTE), forced(), true, S::Verifying),
            (C::Reported, forced(), false, S::Failed),
            (C::Reported, download_only(), true, S::Failed),
        ] {
            let failed = failed(criteria, options);
            assert_eq!(failed.status, S::Failed);
            let event = UpdateEvent::VersionReported { is_target };
            let after = failed.clone().after(&event, Timestamp(1_000_000));
            let after = after.expect("versions are never refused");
            assert_eq!(after.status, status, "{criteria:?}");
            if status == S::Failed {
                assert_eq!(after, failed);
                continue;
            }
            assert_eq!(after.error, None);
            assert_eq!(after.earlier_error, failed.error);
            assert!(after.installed_reported);
        }
    }

    #[test]
    fn a_success_that_is_reported_after_a_failure_is_refused() {
        let state = failed(SuccessCriteria::Reported, UpdateOptions::forced(MINUTE));
        let refused = late(state, Execution::Closed, Finished::Success);
        assert_eq!(refused, Err(EventError::Closed));
    }

    #[test]
    fn a_second_failure_replaces_the_earlier_one() {
        let soak = SuccessCriteria::Soaked(MINUTE);
        let report = |state: UpdateState, is_target| {
            let event = UpdateEvent::VersionReported { is_target };
            state.after(&event, Timestamp(2)).expect("never refused")
        };
        let soaking = report(failed(soak, UpdateOptions::forced(MINUTE)), true);
        assert!(soaking.earlier_error.is_some());
        let reverted = report(soaking, false);
        let code = reverted.error.as_ref().map(|error| &*error.code);
        assert_eq!(code, Some("HEALTH_CHECK_FAILED"));
        assert_eq!(reverted.earlier_error, None);
    }

    #[test]
    fn a_success_counts_after_a_cancellation_that_the_device_did_not_answer() {
        let silent = |criteria| {
            let cancelling = UpdateState {
                success_criteria: criteria,
                ..UpdateState::offered(criteria, UpdateOptions::forced(MINUTE), Timestamp(0))
            };
            let cancelling = cancelling.after(&UpdateEvent::CancelRequested, Timestamp(0));
            let cancelling = cancelling.expect("an open update");
            let end = cancelling.timeout_at;
            let ended = cancelling.after(&UpdateEvent::DeadlinePassed, end);
            let ended = ended.expect("an overdue update");
            assert_eq!(ended.status, UpdateStatus::Cancelled);
            ended
        };
        let version = UpdateEvent::VersionReported { is_target: true };
        for criteria in [
            SuccessCriteria::Reported,
            SuccessCriteria::Attested,
            SuccessCriteria::Soaked(MINUTE),
        ] {
            let after = silent(criteria).after(&version, Timestamp(1_000_000));
            let after = after.expect("versions are never refused");
            // A cancelled update does not soak.
            assert_eq!(after.status, UpdateStatus::Completed, "{criteria:?}");
            assert!(after.installed_reported);
        }
        let after = late(
            silent(SuccessCriteria::Reported),
            Execution::Closed,
            Finished::Success,
        );
        assert_eq!(after.expect("taken").status, UpdateStatus::Completed);
        let refused = late(
            silent(SuccessCriteria::Reported),
            Execution::Closed,
            Finished::Failure,
        );
        assert_eq!(refused, Err(EventError::Closed));
    }

    #[test]
    fn an_update_that_was_never_confirmed_stays_timed_out() {
        let options = UpdateOptions {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::Reject,
                timeout: MINUTE,
            }),
            ..UpdateOptions::forced(MINUTE)
        };
        let state = timed_out(SuccessCriteria::Reported, options);
        let after = late(state, Execution::Closed, Finished::Success);
        assert_eq!(after, Err(EventError::Closed));
    }
}
