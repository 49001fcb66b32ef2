//! A device that refuses an update: it reports `canceled` or `rejected` with the result `failure`, and does not start.
//!
//! The first refusal may be temporary (a low battery, a user who is busy), and DDI knows no state for it. A device that
//! reads the update again and refuses it again will do so for ever.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::{UpdateState, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback, Finished},
    time::Timestamp,
};

/// What a repeated refusal does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum DeviceRefusal {
    /// The update stays on offer until its timeout.
    Wait,
    /// The update fails when its device refuses it, reads it again and refuses it again.
    #[default]
    Fail,
}

/// How far a device is with refusing an update.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// It refused the update.
    Refused,
    /// It read the update again after it had refused it.
    ReadAgain,
}

impl Feedback {
    /// True if the device refuses the update.
    pub fn is_refusal(&self) -> bool {
        let is_refused = matches!(self.execution, Execution::Canceled | Execution::Rejected);
        is_refused && self.finished == Finished::Failure
    }
}

impl UpdateStatus {
    /// True if the retrieval of an update has an effect.
    pub fn awaits_retrieval(self, refusal: Option<Refusal>) -> bool {
        self == Self::Offered || refusal == Some(Refusal::Refused)
    }
}

impl UpdateState {
    /// As [`UpdateStatus::awaits_retrieval`].
    pub fn awaits_retrieval(&self) -> bool {
        self.status.awaits_retrieval(self.refusal)
    }

    /// True if this feedback ends the update as a repeated refusal.
    pub fn ends_by_refusal(&self, feedback: &Feedback) -> bool {
        self.status.is_actionable()
            && feedback.is_refusal()
            && self.refusal == Some(Refusal::ReadAgain)
            && self.options.device_refusal == DeviceRefusal::Fail
    }

    pub(super) fn read_again(mut self) -> Self {
        if self.refusal == Some(Refusal::Refused) {
            self.refusal = Some(Refusal::ReadAgain);
        }
        self
    }

    /// Applies feedback on an update that is not being cancelled, which is no step of its installation.
    pub(super) fn refuse(mut self, feedback: &Feedback, now: Timestamp) -> Self {
        if self.ends_by_refusal(feedback) {
            return self.fail(feedback, now);
        }
        if feedback.is_refusal() {
            self.refusal.get_or_insert(Refusal::Refused);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{SuccessCriteria, UpdateEvent, UpdateOptions},
        *,
    };

    fn report(execution: Execution, finished: Finished) -> UpdateEvent {
        UpdateEvent::Feedback(Feedback {
            messages: vec!["no space".to_owned()],
            ..Feedback::new(execution, finished)
        })
    }

    /// The status and the error message after these events.
    fn after(
        device_refusal: DeviceRefusal,
        events: &[UpdateEvent],
    ) -> (UpdateStatus, Option<String>) {
        let options = UpdateOptions {
            device_refusal,
            ..UpdateOptions::forced(Duration::from_hours(1))
        };
        let mut state = UpdateState::offered(SuccessCriteria::Reported, options, Timestamp(0));
        for (at, event) in (1..).zip(events) {
            state = state.after(event, Timestamp(at)).expect("a valid event");
        }
        (state.status, state.error.map(|error| error.message))
    }

    #[test]
    fn a_refusal_after_another_retrieval_ends_the_update() {
        use DeviceRefusal::{Fail, Wait};
        use Execution as E;
        use Finished as F;
        use UpdateStatus as S;
        let get = || UpdateEvent::Retrieved;
        let refusal = || report(E::Rejected, F::Failure);
        let canceled = || report(E::Canceled, F::Failure);
        for (option, events, expected) in [
            (Fail, vec![get(), refusal()], S::Downloading),
            (Fail, vec![get(), refusal(), get()], S::Downloading),
            (Fail, vec![get(), refusal(), get(), refusal()], S::Failed),
            (Fail, vec![get(), canceled(), get(), refusal()], S::Failed),
            (Fail, vec![get(), canceled(), get(), canceled()], S::Failed),
            // Refused before it was read.
            (Fail, vec![refusal(), get(), refusal()], S::Failed),
            // The same refusal, more than once.
            (
                Fail,
                vec![get(), refusal(), refusal(), canceled()],
                S::Downloading,
            ),
            (Fail, vec![refusal(), refusal()], S::Offered),
            // It tried in between.
            (
                Fail,
                vec![
                    get(),
                    refusal(),
                    get(),
                    report(E::Proceeding, F::None),
                    refusal(),
                ],
                S::Failed,
            ),
            // These are no refusals.
            (
                Fail,
                vec![
                    get(),
                    report(E::Rejected, F::None),
                    get(),
                    report(E::Rejected, F::None),
                ],
                S::Downloading,
            ),
            (
                Fail,
                vec![get(), report(E::Canceled, F::Success), get(), refusal()],
                S::Downloading,
            ),
            (
                Wait,
                vec![get(), refusal(), get(), refusal(), get(), canceled()],
                S::Downloading,
            ),
            // A cancellation decides by itself.
            (
                Fail,
                vec![
                    get(),
                    refusal(),
                    get(),
                    UpdateEvent::CancelRequested,
                    refusal(),
                ],
                S::Cancelling,
            ),
        ] {
            let (status, message) = after(option, &events);
            assert_eq!(status, expected, "{option:?} {events:?}");
            let message_of_failure = (expected == S::Failed).then_some("no space");
            assert_eq!(message.as_deref(), message_of_failure, "{events:?}");
        }
    }

    #[test]
    fn a_refusal_is_only_a_report_until_it_ends_the_update() {
        let options = UpdateOptions::forced(Duration::from_hours(1));
        let offered = UpdateState::offered(SuccessCriteria::Reported, options, Timestamp(0));
        let read = offered
            .after(&UpdateEvent::Retrieved, Timestamp(1))
            .expect("an event");
        assert!(!read.awaits_retrieval());
        let refusal = report(Execution::Rejected, Finished::Failure);
        let refused = read
            .clone()
            .after(&refusal, Timestamp(2))
            .expect("an event");
        assert_ne!(refused, read);
        assert!(refused.differs_only_in_report(&read) && refused.awaits_retrieval());
        let again = refused.clone().after(&UpdateEvent::Retrieved, Timestamp(3));
        let again = again.expect("an event");
        assert_ne!(again, refused);
        assert!(again.differs_only_in_report(&refused) && !again.awaits_retrieval());
    }
}
