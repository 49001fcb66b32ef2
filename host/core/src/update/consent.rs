//! Somebody at the device is asked: the steps of an update that an answer makes.

use super::{OnDenied, Progress, Refusal, UpdateError, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback},
    time::Timestamp,
};

/// The error code of an update that somebody said no to.
pub const DENIED: &str = "DENIED";

impl Progress {
    /// What an answer makes of it. "No" is heard on the way too: it takes the consent back.
    pub(super) fn answered(self, answer: &Feedback, now: Timestamp) -> Result<Self, Refusal> {
        use UpdateStatus as S;
        let is_yes = answer.execution == Execution::Confirmed;
        match self.status {
            S::WaitingConfirmation if is_yes => Ok(self.confirmed()),
            S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing if !is_yes => {
                self.denied(answer, now)
            }
            S::WaitingConfirmation
            | S::Offered
            | S::Downloading
            | S::Installing
            | S::Cancelling
            | S::Scheduled => Err(Refusal::NotWaiting),
            S::Verifying | S::Completed | S::Failed | S::TimedOut | S::Cancelled | S::Rejected => {
                Err(Refusal::Closed)
            }
        }
    }

    /// On offer, if it waited for that.
    pub(super) fn confirmed(mut self) -> Self {
        if self.status == UpdateStatus::WaitingConfirmation {
            self.status = UpdateStatus::Offered;
        }
        self
    }

    /// A "no" where nobody is asked: to offer it again would be to go past it, and to wait would be to wait for nobody.
    pub(super) fn declined(self, answer: &Feedback, now: Timestamp) -> Result<Self, Refusal> {
        use UpdateStatus as S;
        match self.status {
            S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing
                if self.terms.confirmation.is_some() =>
            {
                let why = format!(
                    "its device agrees to updates beforehand, and said no to this one: {}",
                    reason(answer)
                );
                Ok(self.rejected(why, now))
            }
            _ => self.answered(answer, now),
        }
    }

    fn denied(mut self, answer: &Feedback, now: Timestamp) -> Result<Self, Refusal> {
        let Some(confirmation) = self.terms.confirmation else {
            return Err(Refusal::NotWaiting);
        };
        match confirmation.on_denied {
            OnDenied::OfferAgain => {
                self.status = UpdateStatus::WaitingConfirmation;
                Ok(self)
            }
            OnDenied::Reject => Ok(self.rejected(reason(answer).to_owned(), now)),
        }
    }

    fn rejected(mut self, message: String, now: Timestamp) -> Self {
        self.error = Some(UpdateError {
            code: DENIED.to_owned(),
            message,
        });
        self.ended(UpdateStatus::Rejected, now)
    }
}

fn reason(answer: &Feedback) -> &str {
    let last = answer.messages.last();
    last.map_or("the device gave no reason", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Confirmation, Event, Proof, Terms},
        *,
    };
    use crate::feedback::Finished;

    const NOW: Timestamp = Timestamp(1_000);
    const ALL: [UpdateStatus; 12] = UpdateStatus::ALL;

    fn terms(on_denied: OnDenied) -> Terms {
        Terms {
            confirmation: Some(Confirmation {
                on_denied,
                timeout: Duration::from_hours(1),
            }),
            ..Terms::forced(Duration::from_mins(1))
        }
    }

    fn answer(execution: Execution) -> Event {
        Event::ConfirmationFeedback(Feedback {
            messages: vec!["on the road".to_owned()],
            ..Feedback::new(execution, Finished::None)
        })
    }

    fn step(
        from: UpdateStatus,
        terms: Terms,
        execution: Execution,
    ) -> Result<UpdateStatus, Refusal> {
        let progress = Progress {
            status: from,
            ..Progress::offered(Proof::Reported, terms, Timestamp(0))
        };
        progress
            .after(&answer(execution), NOW)
            .map(|progress| progress.status)
    }

    #[test]
    fn an_update_waits_until_somebody_agrees() {
        let offered = |terms| Progress::offered(Proof::Reported, terms, NOW).status;
        assert_eq!(
            offered(terms(OnDenied::OfferAgain)),
            UpdateStatus::WaitingConfirmation
        );
        assert_eq!(
            offered(Terms::forced(Duration::from_mins(1))),
            UpdateStatus::Offered
        );
    }

    #[test]
    fn every_answer_in_every_state() {
        use Execution as E;
        use UpdateStatus as S;
        let (not_waiting, closed) = (Err(Refusal::NotWaiting), Err(Refusal::Closed));
        for from in ALL {
            let (confirmed, denied) = match from {
                S::WaitingConfirmation => (Ok(S::Offered), Ok(S::WaitingConfirmation)),
                S::Offered | S::Downloading | S::Installing => {
                    (not_waiting, Ok(S::WaitingConfirmation))
                }
                S::Cancelling | S::Scheduled => (not_waiting, not_waiting),
                _ => (closed, closed),
            };
            let asks = terms(OnDenied::OfferAgain);
            assert_eq!(
                step(from, asks.clone(), E::Confirmed),
                confirmed,
                "{from:?}"
            );
            assert_eq!(step(from, asks, E::Denied), denied, "{from:?}");

            let final_no = denied.map(|_| S::Rejected);
            let rejects = terms(OnDenied::Reject);
            assert_eq!(
                step(from, rejects.clone(), E::Confirmed),
                confirmed,
                "{from:?}"
            );
            assert_eq!(step(from, rejects, E::Denied), final_no, "{from:?}");
        }
    }

    #[test]
    fn where_nobody_is_asked_nobody_can_say_no() {
        let asks_nobody = Terms::forced(Duration::from_mins(1));
        for from in [UpdateStatus::Offered, UpdateStatus::Installing] {
            for execution in [Execution::Confirmed, Execution::Denied] {
                let refused = Err(Refusal::NotWaiting);
                assert_eq!(
                    step(from, asks_nobody.clone(), execution),
                    refused,
                    "{from:?}"
                );
            }
        }
    }

    #[test]
    fn auto_confirm_moves_what_waits_and_nothing_else() {
        for from in ALL {
            let progress = Progress {
                status: from,
                ..Progress::offered(Proof::Reported, terms(OnDenied::Reject), Timestamp(0))
            };
            let expected = match from {
                UpdateStatus::WaitingConfirmation => UpdateStatus::Offered,
                other => other,
            };
            let after = progress.after(&Event::AutoConfirmed, NOW);
            assert_eq!(after.map(|after| after.status), Ok(expected), "{from:?}");
        }
    }

    #[test]
    fn no_is_final_where_nobody_is_asked() {
        use UpdateStatus as S;
        let Event::ConfirmationFeedback(no) = answer(Execution::Denied) else {
            unreachable!("it is an answer");
        };
        let declined = Event::Declined(no);
        for from in ALL {
            let progress = |terms| Progress {
                status: from,
                ..Progress::offered(Proof::Reported, terms, Timestamp(0))
            };
            let plain = progress(Terms::forced(Duration::from_mins(1)));
            let expected = match from {
                S::WaitingConfirmation | S::Offered | S::Downloading | S::Installing => {
                    assert_eq!(plain.after(&declined, NOW), Err(Refusal::NotWaiting));
                    Ok((S::Rejected, Some(NOW)))
                }
                S::Cancelling | S::Scheduled => Err(Refusal::NotWaiting),
                _ => Err(Refusal::Closed),
            };
            let after = progress(terms(OnDenied::OfferAgain)).after(&declined, NOW);
            let ended = after.map(|after| (after.status, after.completed_at));
            assert_eq!(ended, expected, "{from:?}");
        }
    }

    #[test]
    fn a_final_no_says_why() {
        let asked = Progress::offered(Proof::Reported, terms(OnDenied::Reject), Timestamp(0));
        let rejected = asked.after(&answer(Execution::Denied), NOW);
        let rejected = rejected.expect("it may be denied");
        assert_eq!(rejected.completed_at, Some(NOW));
        let error = rejected.error.expect("it says why");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            (DENIED, "on the road")
        );
    }
}
