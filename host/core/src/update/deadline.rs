//! Deadlines: every phase of an update, and the update as a whole, is limited in time.

use std::time::Duration;

use super::{UpdateError, UpdateState, UpdateStatus};
use crate::time::Timestamp;

impl UpdateState {
    /// Sets the deadlines of a status that was just entered. The update timeout does not run while the update waits
    /// for confirmation: it starts, or restarts, with each confirmation. It does not run either while the device
    /// waits for its maintenance window, or while the update waits behind another one.
    pub(super) fn begin_phase(&mut self, now: Timestamp) {
        let now = self.own_time(now);
        let timeouts = self.options.timeouts;
        match (self.status, self.options.confirmation) {
            (UpdateStatus::WaitingConfirmation, Some(confirmation)) => {
                self.ends_at = now.plus(confirmation.timeout);
            }
            (UpdateStatus::Offered, _) => {
                self.ends_at = self.deadline_in_window(now, timeouts.update);
            }
            _ => {}
        }
        let end_of_phase = match (self.status, self.phase_timeout()) {
            (_, Some(phase)) => self.deadline_in_window(now, phase),
            // A cancellation does not wait for the window, although the update may have.
            (UpdateStatus::Cancelling, _) => now.plus(timeouts.update),
            // The soak began in this step.
            (UpdateStatus::Verifying, _) => self.soaks_until.unwrap_or(self.ends_at),
            _ => self.ends_at,
        };
        self.timeout_at = self.ends_at.min(end_of_phase);
    }

    /// The end of `time`, which runs only from the opening that the device waits for.
    pub(super) fn deadline_in_window(&self, now: Timestamp, time: Duration) -> Timestamp {
        let window = self.options.window.as_ref();
        let from = window.map_or(now, |window| window.timeout_start(now, time));
        from.plus(time)
    }

    /// Timeout of the current phase, if it has its own.
    pub(super) fn phase_timeout(&self) -> Option<Duration> {
        match self.status {
            UpdateStatus::Downloading => self.options.timeouts.download,
            UpdateStatus::Installing => self.install_timeout(),
            _ => None,
        }
    }

    /// Ends an update whose deadline has passed. A scheduled retry is offered instead.
    pub(super) fn apply_deadline(mut self, now: Timestamp) -> Self {
        let is_stopped = self.waits_since.is_some() || self.status == UpdateStatus::WaitingApproval;
        if !self.status.is_open() || is_stopped || now < self.timeout_at {
            return self;
        }
        if self.status == UpdateStatus::Scheduled {
            self.status = self.options.first_status();
            return self;
        }
        if self.status == UpdateStatus::Cancelling || self.awaits_version() {
            return self.end(UpdateStatus::Cancelled, now);
        }
        // The soak time is over: the device is asked for its version again.
        if self.soaks_until.is_some() && now < self.ends_at {
            self.timeout_at = self.ends_at;
            return self;
        }
        self.error = Some(UpdateError {
            code: "TIMEOUT".to_owned(),
            message: self.timeout_message(),
        });
        self.end(UpdateStatus::TimedOut, now)
    }

    fn timeout_message(&self) -> String {
        let ends_early = self.timeout_at < self.ends_at;
        let update_timeout = minutes(self.options.timeouts.update);
        let in_phase = |phase: &str| match self.phase_timeout() {
            Some(limit) if ends_early => {
                let limit = minutes(limit);
                format!("the device did not finish the {phase} within {limit}")
            }
            _ => format!(
                "the device stopped reporting during the {phase}; the update timeout is {update_timeout}"
            ),
        };
        match self.status {
            UpdateStatus::WaitingConfirmation => match self.options.confirmation {
                Some(confirmation) => {
                    let timeout = minutes(confirmation.timeout);
                    format!("the update was not confirmed within {timeout}")
                }
                None => "the update was not confirmed".to_owned(),
            },
            UpdateStatus::Offered => {
                format!("the device did not start the update within {update_timeout}")
            }
            UpdateStatus::Downloading => in_phase("download"),
            UpdateStatus::Installing => in_phase("installation"),
            _ if self.soaks_until.is_some() => {
                format!(
                    "the device did not report its version within {update_timeout} after the soak time"
                )
            }
            _ => format!("the device did not report the new version within {update_timeout}"),
        }
    }
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() / 60 {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Confirmation, OnDenied, SuccessCriteria, Timeouts, UpdateEvent, UpdateOptions},
        *,
    };
    use crate::feedback::{Execution, Feedback, Finished};

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn options() -> UpdateOptions {
        UpdateOptions {
            timeouts: Timeouts {
                update: Duration::from_hours(1),
                download: Some(Duration::from_mins(10)),
                install: Some(Duration::from_mins(20)),
            },
            ..UpdateOptions::forced(Duration::ZERO)
        }
    }

    fn options_with_confirmation() -> UpdateOptions {
        UpdateOptions {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::OfferAgain,
                timeout: Duration::from_mins(500),
            }),
            ..options()
        }
    }

    fn feedback(execution: Execution) -> Feedback {
        let finished = match execution {
            Execution::Closed => Finished::Success,
            _ => Finished::None,
        };
        Feedback::new(execution, finished)
    }

    fn feedback_event(execution: Execution) -> UpdateEvent {
        UpdateEvent::Feedback(feedback(execution))
    }

    fn confirmation_event(execution: Execution) -> UpdateEvent {
        UpdateEvent::ConfirmationFeedback(feedback(execution))
    }

    /// Deadline in minutes, final status and message of an update after these events, each at its minute.
    fn timeout_after(
        options: UpdateOptions,
        events: &[(i64, UpdateEvent)],
    ) -> (i64, UpdateStatus, String) {
        let mut state = UpdateState::offered(SuccessCriteria::Attested, options, minute(0));
        for (at, event) in events {
            state = state.after(event, minute(*at)).expect("a valid event");
        }
        let timeout_at = state.timeout_at;
        let just_before = Timestamp(timeout_at.0 - 1);
        let early = state
            .clone()
            .after(&UpdateEvent::DeadlinePassed, just_before);
        assert_eq!(early, Ok(state.clone()), "no effect before the deadline");
        let ended = state.after(&UpdateEvent::DeadlinePassed, timeout_at);
        let ended = ended.expect("past the deadline");
        let message = ended.error.map(|error| error.message).unwrap_or_default();
        (timeout_at.0 / 60_000, ended.status, message)
    }

    #[test]
    fn every_phase_has_its_own_timeout_and_message() {
        use Execution as E;
        use UpdateStatus::{Cancelled, TimedOut};
        for (events, at, status, message) in [
            (
                vec![],
                60,
                TimedOut,
                "the device did not start the update within 60 minutes",
            ),
            (
                vec![(5, UpdateEvent::Retrieved)],
                15,
                TimedOut,
                "the device did not finish the download within 10 minutes",
            ),
            // Feedback does not extend the deadline.
            (
                vec![
                    (5, UpdateEvent::Retrieved),
                    (14, feedback_event(E::Download)),
                ],
                15,
                TimedOut,
                "the device did not finish the download within 10 minutes",
            ),
            (
                vec![
                    (5, UpdateEvent::Retrieved),
                    (14, feedback_event(E::Downloaded)),
                ],
                34,
                TimedOut,
                "the device did not finish the installation within 20 minutes",
            ),
            // The update timeout ends before that of the phase.
            (
                vec![(55, UpdateEvent::Retrieved)],
                60,
                TimedOut,
                "the device stopped reporting during the download; the update timeout is 60 minutes",
            ),
            (
                vec![(50, feedback_event(E::Proceeding))],
                60,
                TimedOut,
                "the device stopped reporting during the installation; the update timeout is 60 minutes",
            ),
            (
                vec![
                    (3, feedback_event(E::Proceeding)),
                    (9, feedback_event(E::Closed)),
                ],
                60,
                TimedOut,
                "the device did not report the new version within 60 minutes",
            ),
            (
                vec![
                    (3, UpdateEvent::Retrieved),
                    (4, UpdateEvent::CancelRequested),
                ],
                60,
                Cancelled,
                "",
            ),
        ] {
            let message = message.to_owned();
            assert_eq!(
                timeout_after(options(), &events),
                (at, status, message),
                "{events:?}"
            );
        }
    }

    #[test]
    fn update_timeouts_start_after_the_confirmation() {
        use Execution as E;
        for (events, at, message) in [
            (
                vec![],
                500,
                "the update was not confirmed within 500 minutes",
            ),
            (
                vec![(400, confirmation_event(E::Denied))],
                500,
                "the update was not confirmed within 500 minutes",
            ),
            (
                vec![(400, confirmation_event(E::Confirmed))],
                460,
                "the device did not start the update within 60 minutes",
            ),
            // Revoked and confirmed again.
            (
                vec![
                    (100, UpdateEvent::AutoConfirmed),
                    (101, UpdateEvent::Retrieved),
                    (102, confirmation_event(E::Denied)),
                ],
                602,
                "the update was not confirmed within 500 minutes",
            ),
            (
                vec![
                    (100, confirmation_event(E::Confirmed)),
                    (102, confirmation_event(E::Denied)),
                    (300, confirmation_event(E::Confirmed)),
                    (301, UpdateEvent::Retrieved),
                ],
                311,
                "the device did not finish the download within 10 minutes",
            ),
        ] {
            let expected = (at, UpdateStatus::TimedOut, message.to_owned());
            assert_eq!(
                timeout_after(options_with_confirmation(), &events),
                expected,
                "{events:?}"
            );
        }
    }

    #[test]
    fn phases_without_a_timeout_are_bounded_by_the_update_timeout() {
        let options = UpdateOptions::forced(Duration::from_mins(1));
        let (at, _, message) = timeout_after(options, &[(0, UpdateEvent::Retrieved)]);
        assert_eq!(at, 1);
        assert_eq!(
            message,
            "the device stopped reporting during the download; the update timeout is 1 minute"
        );
    }
}
