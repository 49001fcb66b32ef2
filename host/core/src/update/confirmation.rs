//! Confirmation of an update at the device.

use super::{EventError, OnDenied, UpdateError, UpdateState, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback},
    time::Timestamp,
};

/// Error code of an update that was denied at the device.
pub const DENIED: &str = "DENIED";

impl UpdateState {
    /// Applies an answer. A denial of an update that was confirmed before revokes the confirmation.
    pub(super) fn apply_confirmation(
        self,
        answer: &Feedback,
        now: Timestamp,
    ) -> Result<Self, EventError> {
        use UpdateStatus as S;
        let is_yes = answer.execution == Execution::Confirmed;
        match self.status {
            S::WaitingConfirmation if is_yes => Ok(self.confirm()),
            S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing if !is_yes => {
                self.deny(answer, now)
            }
            S::WaitingConfirmation
            | S::Offered
            | S::Downloading
            | S::Installing
            | S::Cancelling
            | S::Scheduled
            | S::WaitingApproval => Err(EventError::NotWaitingConfirmation),
            S::Verifying | S::Completed | S::Failed | S::TimedOut | S::Cancelled | S::Rejected => {
                Err(EventError::Closed)
            }
        }
    }

    /// Offers an update that waits for confirmation.
    pub(super) fn confirm(mut self) -> Self {
        if self.status == UpdateStatus::WaitingConfirmation {
            self.status = UpdateStatus::Offered;
        }
        self
    }

    /// Applies a denial while auto-confirm is active. It is final: offering the update again would override the
    /// denial, and no confirmation is pending.
    pub(super) fn decline(self, answer: &Feedback, now: Timestamp) -> Result<Self, EventError> {
        use UpdateStatus as S;
        match self.status {
            S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing
                if self.options.confirmation.is_some() =>
            {
                let why = format!(
                    "denied at the device although auto-confirm is active: {}",
                    reason(answer)
                );
                Ok(self.reject(why, now))
            }
            _ => self.apply_confirmation(answer, now),
        }
    }

    fn deny(mut self, answer: &Feedback, now: Timestamp) -> Result<Self, EventError> {
        let Some(confirmation) = self.options.confirmation else {
            return Err(EventError::NotWaitingConfirmation);
        };
        match confirmation.on_denied {
            OnDenied::OfferAgain => {
                self.status = UpdateStatus::WaitingConfirmation;
                Ok(self)
            }
            OnDenied::Reject => Ok(self.reject(reason(answer).to_owned(), now)),
        }
    }

    fn reject(mut self, message: String, now: Timestamp) -> Self {
        self.error = Some(UpdateError {
            code: DENIED.to_owned(),
            message,
        });
        self.end(UpdateStatus::Rejected, now)
    }
}

fn reason(answer: &Feedback) -> &str {
    let last = answer.messages.last();
    last.map_or("the device gave no reason", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strum::VariantArray;

    use super::{
        super::{Confirmation, SuccessCriteria, UpdateEvent, UpdateOptions},
        *,
    };
    use crate::feedback::Finished;

    const NOW: Timestamp = Timestamp(1_000);

    fn all() -> impl Iterator<Item = UpdateStatus> {
        <UpdateStatus as VariantArray>::VARIANTS.iter().copied()
    }

    fn options(on_denied: OnDenied) -> UpdateOptions {
        UpdateOptions {
            confirmation: Some(Confirmation {
                on_denied,
                timeout: Duration::from_hours(1),
            }),
            ..UpdateOptions::forced(Duration::from_mins(1))
        }
    }

    fn answer(execution: Execution) -> UpdateEvent {
        UpdateEvent::ConfirmationFeedback(Feedback {
            messages: vec!["on the road".to_owned()],
            ..Feedback::new(execution, Finished::None)
        })
    }

    fn step(
        from: UpdateStatus,
        options: UpdateOptions,
        execution: Execution,
    ) -> Result<UpdateStatus, EventError> {
        let state = UpdateState {
            status: from,
            ..UpdateState::offered(SuccessCriteria::Reported, options, Timestamp(0))
        };
        state
            .after(&answer(execution), NOW)
            .map(|state| state.status)
    }

    #[test]
    fn updates_with_a_confirmation_start_waiting() {
        let offered =
            |options| UpdateState::offered(SuccessCriteria::Reported, options, NOW).status;
        assert_eq!(
            offered(options(OnDenied::OfferAgain)),
            UpdateStatus::WaitingConfirmation
        );
        assert_eq!(
            offered(UpdateOptions::forced(Duration::from_mins(1))),
            UpdateStatus::Offered
        );
    }

    #[test]
    fn every_answer_in_every_state() {
        use Execution as E;
        use UpdateStatus as S;
        let (not_waiting, closed) = (
            Err(EventError::NotWaitingConfirmation),
            Err(EventError::Closed),
        );
        for from in all() {
            let (confirmed, denied) = match from {
                S::WaitingConfirmation => (Ok(S::Offered), Ok(S::WaitingConfirmation)),
                S::Offered | S::Downloading | S::Installing => {
                    (not_waiting, Ok(S::WaitingConfirmation))
                }
                S::Cancelling | S::Scheduled | S::WaitingApproval => (not_waiting, not_waiting),
                _ => (closed, closed),
            };
            let asking = options(OnDenied::OfferAgain);
            assert_eq!(
                step(from, asking.clone(), E::Confirmed),
                confirmed,
                "{from:?}"
            );
            assert_eq!(step(from, asking, E::Denied), denied, "{from:?}");

            let final_no = denied.map(|_| S::Rejected);
            let rejects = options(OnDenied::Reject);
            assert_eq!(
                step(from, rejects.clone(), E::Confirmed),
                confirmed,
                "{from:?}"
            );
            assert_eq!(step(from, rejects, E::Denied), final_no, "{from:?}");
        }
    }

    #[test]
    fn confirmation_feedback_is_refused_without_a_confirmation() {
        let without_confirmation = UpdateOptions::forced(Duration::from_mins(1));
        for from in [UpdateStatus::Offered, UpdateStatus::Installing] {
            for execution in [Execution::Confirmed, Execution::Denied] {
                let refused = Err(EventError::NotWaitingConfirmation);
                assert_eq!(
                    step(from, without_confirmation.clone(), execution),
                    refused,
                    "{from:?}"
                );
            }
        }
    }

    #[test]
    fn auto_confirm_only_affects_waiting_updates() {
        for from in all() {
            let state = UpdateState {
                status: from,
                ..UpdateState::offered(
                    SuccessCriteria::Reported,
                    options(OnDenied::Reject),
                    Timestamp(0),
                )
            };
            let expected = match from {
                UpdateStatus::WaitingConfirmation => UpdateStatus::Offered,
                other => other,
            };
            let after = state.after(&UpdateEvent::AutoConfirmed, NOW);
            assert_eq!(after.map(|after| after.status), Ok(expected), "{from:?}");
        }
    }

    #[test]
    fn declining_is_final_for_auto_confirmed_devices() {
        use UpdateStatus as S;
        let UpdateEvent::ConfirmationFeedback(no) = answer(Execution::Denied) else {
            unreachable!("a confirmation");
        };
        let declined = UpdateEvent::Declined(no);
        for from in all() {
            let state = |options| UpdateState {
                status: from,
                ..UpdateState::offered(SuccessCriteria::Reported, options, Timestamp(0))
            };
            let plain = state(UpdateOptions::forced(Duration::from_mins(1)));
            let expected = match from {
                S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing => {
                    assert_eq!(
                        plain.after(&declined, NOW),
                        Err(EventError::NotWaitingConfirmation)
                    );
                    Ok((S::Rejected, Some(NOW)))
                }
                S::Cancelling | S::Scheduled | S::WaitingApproval => {
                    Err(EventError::NotWaitingConfirmation)
                }
                _ => Err(EventError::Closed),
            };
            let after = state(options(OnDenied::OfferAgain)).after(&declined, NOW);
            let ended = after.map(|after| (after.status, after.completed_at));
            assert_eq!(ended, expected, "{from:?}");
        }
    }

    #[test]
    fn a_rejection_keeps_its_reason() {
        let waiting = UpdateState::offered(
            SuccessCriteria::Reported,
            options(OnDenied::Reject),
            Timestamp(0),
        );
        let rejected = waiting.after(&answer(Execution::Denied), NOW);
        let rejected = rejected.expect("a deniable update");
        assert_eq!(rejected.completed_at, Some(NOW));
        let error = rejected.error.expect("an error");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            (DENIED, "on the road")
        );
    }
}
