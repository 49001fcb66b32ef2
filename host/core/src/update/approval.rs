//! Approval of an update by another user than its creator. Until then no device is shown it, and its time does not run.

use super::{SuccessCriteria, UpdateError, UpdateOptions, UpdateState, UpdateStatus};
use crate::time::Timestamp;

/// Error code of an update that was not approved.
pub const NOT_APPROVED: &str = "NOT_APPROVED";

impl UpdateState {
    /// The state of a new update that has to be approved.
    pub fn waiting_approval(
        success_criteria: SuccessCriteria,
        options: UpdateOptions,
        now: Timestamp,
    ) -> Self {
        Self {
            status: UpdateStatus::WaitingApproval,
            waits_since: Some(now),
            ..Self::offered(success_criteria, options, now)
        }
    }

    /// Offers the update, with its whole time.
    pub(super) fn approve(mut self) -> Self {
        if self.status == UpdateStatus::WaitingApproval {
            self.status = self.options.first_status();
            self.waits_since = None;
        }
        self
    }

    pub(super) fn end_unapproved(mut self, reason: &str, now: Timestamp) -> Self {
        if self.status != UpdateStatus::WaitingApproval {
            return self;
        }
        self.error = Some(UpdateError {
            code: NOT_APPROVED.to_owned(),
            message: reason.to_owned(),
        });
        self.end(UpdateStatus::Cancelled, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strum::VariantArray as _;

    use super::{
        super::{Confirmation, EventError, OnDenied, UpdateEvent},
        *,
    };
    use crate::feedback::{Execution, Feedback, Finished};

    const CREATED: Timestamp = Timestamp(1_000);
    const LATER: Timestamp = Timestamp(100_000_000);

    fn options(confirmation: Option<Confirmation>) -> UpdateOptions {
        UpdateOptions {
            confirmation,
            ..UpdateOptions::forced(Duration::from_mins(30))
        }
    }

    fn waiting(confirmation: Option<Confirmation>) -> UpdateState {
        UpdateState::waiting_approval(SuccessCriteria::Reported, options(confirmation), CREATED)
    }

    #[test]
    fn an_update_is_offered_once_it_is_approved() {
        let confirmation = Confirmation {
            timeout: Duration::from_hours(1),
            on_denied: OnDenied::Reject,
        };
        for confirmation in [None, Some(confirmation)] {
            let waiting = waiting(confirmation);
            assert!(waiting.status.is_open() && !waiting.status.is_offered_to_device());
            let approved = waiting.after(&UpdateEvent::Approved, LATER);
            let offered =
                UpdateState::offered(SuccessCriteria::Reported, options(confirmation), LATER);
            assert_eq!(approved, Ok(offered), "it has its whole time");
        }
    }

    #[test]
    fn an_update_that_waits_for_approval_never_times_out() {
        let mut state = waiting(None);
        assert_eq!(
            state.clone().after(&UpdateEvent::DeadlinePassed, LATER),
            Ok(state.clone())
        );
        for is_visible in [true, false] {
            assert!(!state.set_visible(is_visible, LATER));
        }
        assert_eq!(state, waiting(None));
    }

    #[test]
    fn a_device_cannot_act_on_an_update_before_it_is_approved() {
        for execution in [
            Execution::Proceeding,
            Execution::Closed,
            Execution::Rejected,
        ] {
            let feedback = Feedback::new(execution, Finished::Success);
            let reported = waiting(None).after(&UpdateEvent::Feedback(feedback.clone()), LATER);
            assert_eq!(reported, Err(EventError::Closed), "{execution:?}");
            let confirmed =
                waiting(None).after(&UpdateEvent::ConfirmationFeedback(feedback), LATER);
            assert_eq!(
                confirmed,
                Err(EventError::NotWaitingConfirmation),
                "{execution:?}"
            );
        }
        for event in [
            UpdateEvent::Retrieved,
            UpdateEvent::FetchBegun,
            UpdateEvent::FetchSeen,
            UpdateEvent::AutoConfirmed,
            UpdateEvent::ClassChanged,
            UpdateEvent::VersionReported { is_target: true },
            UpdateEvent::Incompatible("no".to_owned()),
        ] {
            let after = waiting(None).after(&event, LATER);
            let status = after.map(|after| after.status);
            assert_eq!(status, Ok(UpdateStatus::WaitingApproval), "{event:?}");
        }
    }

    #[test]
    fn it_ends_at_once_when_it_is_refused_cancelled_or_its_device_is_deleted() {
        let ended = |event: UpdateEvent| waiting(None).after(&event, LATER).expect("an end");
        let refused = ended(UpdateEvent::ApprovalRejected("not on a Friday".to_owned()));
        assert_eq!(refused.status, UpdateStatus::Cancelled);
        let error = refused.error.expect("an error");
        assert_eq!(
            (&*error.code, &*error.message),
            (NOT_APPROVED, "not on a Friday")
        );
        for event in [UpdateEvent::CancelRequested, UpdateEvent::DeviceGone] {
            let ended = ended(event);
            assert_eq!((ended.status, ended.error), (UpdateStatus::Cancelled, None));
            assert_eq!((ended.completed_at, ended.waits_since), (Some(LATER), None));
        }
    }

    #[test]
    fn an_approval_changes_no_other_update() {
        for status in UpdateStatus::VARIANTS {
            let state = UpdateState {
                status: *status,
                ..UpdateState::offered(SuccessCriteria::Reported, options(None), CREATED)
            };
            if *status == UpdateStatus::WaitingApproval {
                continue;
            }
            for event in [
                UpdateEvent::Approved,
                UpdateEvent::ApprovalRejected("no".to_owned()),
            ] {
                let after = state.clone().after(&event, CREATED).expect("no effect");
                assert_eq!((after.status, after.error), (*status, None), "{event:?}");
            }
        }
    }
}
