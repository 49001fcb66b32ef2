//! What ends an update by itself: every phase, and the whole, has its time.

use std::time::Duration;

use super::{Progress, UpdateError, UpdateStatus};
use crate::time::Timestamp;

impl Progress {
    /// The deadlines of the status that it has just come to. Nobody is timed while they think about a confirmation: the
    /// time of the update itself begins when they agree, and begins anew when they agree again. Nor is a device while it
    /// waits for its window.
    pub(super) fn begin_phase(&mut self, now: Timestamp) {
        let timeouts = self.terms.timeouts;
        match (self.status, self.terms.confirmation) {
            (UpdateStatus::WaitingConfirmation, Some(confirmation)) => {
                self.ends_at = now.plus(confirmation.timeout);
            }
            (UpdateStatus::Offered, _) => self.ends_at = self.after_opening(now, timeouts.update),
            _ => {}
        }
        let end_of_phase = match (self.status, self.phase_timeout()) {
            (_, Some(phase)) => self.after_opening(now, phase),
            // It may have been waiting for its window; a call back does not.
            (UpdateStatus::Cancelling, _) => now.plus(timeouts.update),
            _ => self.ends_at,
        };
        self.timeout_at = self.ends_at.min(end_of_phase);
    }

    /// The end of this time, of which nothing passes while the device waits for its window.
    fn after_opening(&self, now: Timestamp, time: Duration) -> Timestamp {
        let window = self.terms.window.as_ref();
        let from = window.map_or(now, |window| window.time_runs_from(now, time));
        from.plus(time)
    }

    /// How long the phase that it is in may take, where it has a time of its own.
    fn phase_timeout(&self) -> Option<Duration> {
        match self.status {
            UpdateStatus::Downloading => self.terms.timeouts.download,
            UpdateStatus::Installing => self.terms.timeouts.install,
            _ => None,
        }
    }

    /// Its end, if its time is up; a try that waited for its time is put to its device.
    pub(super) fn overdue(mut self, now: Timestamp) -> Self {
        if !self.status.is_open() || now < self.timeout_at {
            return self;
        }
        if self.status == UpdateStatus::Scheduled {
            self.status = self.terms.first_status();
            return self;
        }
        if self.status == UpdateStatus::Cancelling {
            return self.ended(UpdateStatus::Cancelled, now);
        }
        // It has stayed well for long enough, and is asked for its version once more.
        if self.soaks_until.is_some() && now < self.ends_at {
            self.timeout_at = self.ends_at;
            return self;
        }
        self.error = Some(UpdateError {
            code: "TIMEOUT".to_owned(),
            message: self.why_overdue(),
        });
        self.ended(UpdateStatus::TimedOut, now)
    }

    fn why_overdue(&self) -> String {
        let ends_early = self.timeout_at < self.ends_at;
        let whole = minutes(self.terms.timeouts.update);
        let in_phase = |phase: &str| match self.phase_timeout() {
            Some(limit) if ends_early => {
                let limit = minutes(limit);
                format!("the device did not end the {phase} within {limit}")
            }
            _ => format!("the device fell silent during the {phase}: the update had {whole}"),
        };
        match self.status {
            UpdateStatus::WaitingConfirmation => match self.terms.confirmation {
                Some(confirmation) => {
                    let timeout = minutes(confirmation.timeout);
                    format!("nobody confirmed the update within {timeout}")
                }
                None => "nobody confirmed the update".to_owned(),
            },
            UpdateStatus::Offered => format!("the device never took up the update within {whole}"),
            UpdateStatus::Downloading => in_phase("download"),
            UpdateStatus::Installing => in_phase("installation"),
            _ if self.soaks_until.is_some() => {
                format!(
                    "the device did not report within {whole} that it stayed on the new version"
                )
            }
            _ => format!("the device never reported the new version within {whole}"),
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
        super::{Confirmation, Event, OnDenied, Proof, Terms, Timeouts},
        *,
    };
    use crate::feedback::{Execution, Feedback, Finished};

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn terms() -> Terms {
        Terms {
            timeouts: Timeouts {
                update: Duration::from_hours(1),
                download: Some(Duration::from_mins(10)),
                install: Some(Duration::from_mins(20)),
            },
            ..Terms::forced(Duration::ZERO)
        }
    }

    fn asks() -> Terms {
        Terms {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::OfferAgain,
                timeout: Duration::from_mins(500),
            }),
            ..terms()
        }
    }

    fn says(execution: Execution) -> Feedback {
        let finished = match execution {
            Execution::Closed => Finished::Success,
            _ => Finished::None,
        };
        Feedback::new(execution, finished)
    }

    fn reports(execution: Execution) -> Event {
        Event::Feedback(says(execution))
    }

    fn answers(execution: Execution) -> Event {
        Event::ConfirmationFeedback(says(execution))
    }

    /// What becomes of an update with these terms after these events, each at its minute, and when its time is up.
    fn ends(terms: Terms, events: &[(i64, Event)]) -> (i64, UpdateStatus, String) {
        let mut progress = Progress::offered(Proof::Attested, terms, minute(0));
        for (at, event) in events {
            progress = progress.after(event, minute(*at)).expect("it is taken");
        }
        let timeout_at = progress.timeout_at;
        let just_before = Timestamp(timeout_at.0 - 1);
        let early = progress.clone().after(&Event::DeadlinePassed, just_before);
        assert_eq!(early, Ok(progress.clone()), "nothing ends before its time");
        let ended = progress.after(&Event::DeadlinePassed, timeout_at);
        let ended = ended.expect("its time is up");
        let message = ended.error.map(|error| error.message).unwrap_or_default();
        (timeout_at.0 / 60_000, ended.status, message)
    }

    #[test]
    fn every_phase_has_its_time_and_says_so() {
        use Execution as E;
        use UpdateStatus::{Cancelled, TimedOut};
        for (events, at, status, message) in [
            (
                vec![],
                60,
                TimedOut,
                "the device never took up the update within 60 minutes",
            ),
            (
                vec![(5, Event::Retrieved)],
                15,
                TimedOut,
                "the device did not end the download within 10 minutes",
            ),
            // Talking does not buy time.
            (
                vec![(5, Event::Retrieved), (14, reports(E::Download))],
                15,
                TimedOut,
                "the device did not end the download within 10 minutes",
            ),
            (
                vec![(5, Event::Retrieved), (14, reports(E::Downloaded))],
                34,
                TimedOut,
                "the device did not end the installation within 20 minutes",
            ),
            // The whole ends before the phase would.
            (
                vec![(55, Event::Retrieved)],
                60,
                TimedOut,
                "the device fell silent during the download: the update had 60 minutes",
            ),
            (
                vec![(50, reports(E::Proceeding))],
                60,
                TimedOut,
                "the device fell silent during the installation: the update had 60 minutes",
            ),
            (
                vec![(3, reports(E::Proceeding)), (9, reports(E::Closed))],
                60,
                TimedOut,
                "the device never reported the new version within 60 minutes",
            ),
            (
                vec![(3, Event::Retrieved), (4, Event::CancelRequested)],
                60,
                Cancelled,
                "",
            ),
        ] {
            let message = message.to_owned();
            assert_eq!(ends(terms(), &events), (at, status, message), "{events:?}");
        }
    }

    #[test]
    fn nobody_is_timed_while_they_think() {
        use Execution as E;
        for (events, at, message) in [
            (
                vec![],
                500,
                "nobody confirmed the update within 500 minutes",
            ),
            (
                vec![(400, answers(E::Denied))],
                500,
                "nobody confirmed the update within 500 minutes",
            ),
            (
                vec![(400, answers(E::Confirmed))],
                460,
                "the device never took up the update within 60 minutes",
            ),
            // Taken back, and given again.
            (
                vec![
                    (100, Event::AutoConfirmed),
                    (101, Event::Retrieved),
                    (102, answers(E::Denied)),
                ],
                602,
                "nobody confirmed the update within 500 minutes",
            ),
            (
                vec![
                    (100, answers(E::Confirmed)),
                    (102, answers(E::Denied)),
                    (300, answers(E::Confirmed)),
                    (301, Event::Retrieved),
                ],
                311,
                "the device did not end the download within 10 minutes",
            ),
        ] {
            let expected = (at, UpdateStatus::TimedOut, message.to_owned());
            assert_eq!(ends(asks(), &events), expected, "{events:?}");
        }
    }

    #[test]
    fn without_times_of_their_own_phases_have_what_is_left() {
        let terms = Terms::forced(Duration::from_mins(1));
        let (at, _, message) = ends(terms, &[(0, Event::Retrieved)]);
        assert_eq!(at, 1);
        assert_eq!(
            message,
            "the device fell silent during the download: the update had 1 minute"
        );
    }
}
