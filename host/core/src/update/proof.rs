//! When an update counts as done.

use std::time::Duration;

use super::{Progress, UpdateError, UpdateStatus};
use crate::time::Timestamp;

/// The longest that a device can be asked to stay well: thirty days.
pub const MAX_SOAK: Duration = Duration::from_hours(30 * 24);

/// What an update needs to count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The device says so.
    Reported,
    /// The device comes back and reports the new version.
    Attested,
    /// It does, and after so long without a failure it reports the same again.
    Soaked(Duration),
}

impl Proof {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Attested => "attested",
            Self::Soaked(_) => "soaked",
        }
    }

    /// The proof of this name. The time belongs to `soaked`, which is none without.
    pub fn parse(text: &str, soak: Option<Duration>) -> Option<Self> {
        match (text, soak) {
            ("reported", None) => Some(Self::Reported),
            ("attested", None) => Some(Self::Attested),
            ("soaked", Some(time)) => Some(Self::Soaked(time)),
            _ => None,
        }
    }

    /// How long the device has to stay well.
    pub fn soak(self) -> Option<Duration> {
        match self {
            Self::Soaked(time) => Some(time),
            Self::Reported | Self::Attested => None,
        }
    }

    /// What the way back needs: nobody waits for a firmware to stay well that was there before.
    #[must_use]
    pub fn of_return(self) -> Self {
        match self {
            Self::Soaked(_) => Self::Attested,
            other => other,
        }
    }
}

impl Progress {
    /// The device has reported a version: the one that the update brings, or another one.
    pub(super) fn version_seen(mut self, is_target: bool, now: Timestamp) -> Self {
        if self.status != UpdateStatus::Verifying {
            return self;
        }
        match (is_target, self.soaks_until, self.proof) {
            (true, None, Proof::Soaked(time)) => {
                let until = now.plus(time);
                self.soaks_until = Some(until);
                self.timeout_at = until;
                // Then it is asked again, and has as much time to answer as the update had.
                self.ends_at = until.plus(self.terms.timeouts.update);
                self
            }
            (true, None, _) => self.ended(UpdateStatus::Completed, now),
            (true, Some(until), _) if now >= until => self.ended(UpdateStatus::Completed, now),
            // While it soaks, the new version is no news. Before, another one proves nothing yet: many devices report before
            // they restart, and the deadline decides.
            (true, Some(_), _) | (false, None, _) => self,
            (false, Some(_), _) => {
                // It came back by itself.
                self.went_over = false;
                self.error = Some(UpdateError {
                    code: "HEALTH_CHECK_FAILED".to_owned(),
                    message: "the device did not stay on the new version: it reported another one"
                        .to_owned(),
                });
                self.ended(UpdateStatus::Failed, now)
            }
        }
    }

    /// Whether the device is to report its version now: when it says that it is done, and once more when it has stayed
    /// on the new one for as long as it must.
    pub fn waits_for_version(&self, now: Timestamp) -> bool {
        self.status == UpdateStatus::Verifying && self.soaks_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Event, Terms},
        *,
    };
    use crate::feedback::{Execution, Feedback, Finished};

    const SOAK: Duration = Duration::from_hours(2);

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn closed(finished: Finished) -> Event {
        Event::Feedback(Feedback::new(Execution::Closed, finished))
    }

    fn reports(is_target: bool) -> Event {
        Event::VersionReported { is_target }
    }

    /// An update of an hour that has to soak for two, after these events, each at its minute.
    fn after(events: &[(i64, Event)]) -> Progress {
        let terms = Terms::forced(Duration::from_hours(1));
        let offered = Progress::offered(Proof::Soaked(SOAK), terms, minute(0));
        events.iter().fold(offered, |progress, (at, event)| {
            progress.after(event, minute(*at)).expect("it is taken")
        })
    }

    #[test]
    fn a_proof_is_read_as_it_was_written() {
        for proof in [Proof::Reported, Proof::Attested, Proof::Soaked(SOAK)] {
            assert_eq!(Proof::parse(proof.as_str(), proof.soak()), Some(proof));
        }
        for (text, soak) in [("soaked", None), ("attested", Some(SOAK)), ("felt", None)] {
            assert_eq!(Proof::parse(text, soak), None, "{text}");
        }
    }

    #[test]
    fn a_device_has_to_stay_well_and_to_say_so_again() {
        use Event::DeadlinePassed;
        use UpdateStatus as S;
        let begun = [(5, closed(Finished::Success)), (10, reports(true))];
        let soaking = after(&begun);
        assert_eq!(soaking.status, S::Verifying);
        assert_eq!(soaking.soaks_until, Some(minute(130)));
        assert_eq!(
            (soaking.timeout_at, soaking.ends_at),
            (minute(130), minute(190))
        );
        for (events, status, code) in [
            (vec![(129, reports(true))], S::Verifying, None),
            (vec![(130, reports(true))], S::Completed, None),
            (vec![(130, DeadlinePassed)], S::Verifying, None),
            (
                vec![(130, DeadlinePassed), (189, reports(true))],
                S::Completed,
                None,
            ),
            (
                vec![(130, DeadlinePassed), (190, DeadlinePassed)],
                S::TimedOut,
                Some("TIMEOUT"),
            ),
            (
                vec![(130, DeadlinePassed), (140, reports(false))],
                S::Failed,
                Some("HEALTH_CHECK_FAILED"),
            ),
            (
                vec![(60, reports(false))],
                S::Failed,
                Some("HEALTH_CHECK_FAILED"),
            ),
            (
                vec![(60, closed(Finished::Failure))],
                S::Failed,
                Some("FAILED"),
            ),
            (vec![(60, Event::CancelRequested)], S::Cancelled, None),
        ] {
            let all: Vec<_> = begun.iter().cloned().chain(events).collect();
            let ended = after(&all);
            let said = ended.error.as_ref().map(|error| error.code.as_str());
            assert_eq!((ended.status, said), (status, code), "{all:?}");
        }
    }

    #[test]
    fn whoever_fell_back_is_not_on_the_new_version() {
        let begun = [(5, closed(Finished::Success)), (10, reports(true))];
        assert!(after(&begun).went_over);
        let fell_back: Vec<_> = begun.into_iter().chain([(60, reports(false))]).collect();
        assert!(!after(&fell_back).went_over);
    }

    #[test]
    fn nothing_soaks_before_the_new_version_was_reported() {
        let early = after(&[
            (4, reports(true)),
            (5, closed(Finished::Success)),
            (6, reports(false)),
        ]);
        assert_eq!(
            (early.status, early.soaks_until),
            (UpdateStatus::Verifying, None)
        );
    }

    #[test]
    fn its_version_is_asked_for_at_both_ends() {
        let done = [(5, closed(Finished::Success)), (10, reports(true))];
        assert!(!after(&[]).waits_for_version(minute(1)));
        assert!(after(&done[..1]).waits_for_version(minute(6)));
        let soaking = after(&done);
        assert!(!soaking.waits_for_version(minute(129)));
        assert!(soaking.waits_for_version(minute(130)));
    }

    #[test]
    fn the_way_back_does_not_soak() {
        assert_eq!(Proof::Soaked(SOAK).of_return(), Proof::Attested);
        assert_eq!(Proof::Reported.of_return(), Proof::Reported);
    }
}
