//! When an update counts as done.

use std::time::Duration;

use super::{UpdateError, UpdateState, UpdateStatus};
use crate::time::Timestamp;

/// The longest that a device can be asked to stay well: thirty days.
pub const MAX_SOAK: Duration = Duration::from_hours(30 * 24);

/// What an update needs to count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuccessCriteria {
    /// The device says so.
    Reported,
    /// The device comes back and reports the new version.
    Attested,
    /// It does, and after so long without a failure it reports the same again.
    Soaked(Duration),
}

impl SuccessCriteria {
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
    pub fn for_rollback(self) -> Self {
        match self {
            Self::Soaked(_) => Self::Attested,
            other => other,
        }
    }
}

impl UpdateState {
    /// The device has reported a version: the one that the update brings, or another one.
    pub(super) fn apply_version_report(mut self, is_target: bool, now: Timestamp) -> Self {
        if self.status != UpdateStatus::Verifying {
            return self;
        }
        match (is_target, self.soaks_until, self.success_criteria) {
            (true, None, SuccessCriteria::Soaked(time)) => {
                let until = now.plus(time);
                self.soaks_until = Some(until);
                self.timeout_at = until;
                // Then it is asked again, and has as much time to answer as the update had.
                self.ends_at = until.plus(self.options.timeouts.update);
                self
            }
            (true, None, _) => self.end(UpdateStatus::Completed, now),
            (true, Some(until), _) if now >= until => self.end(UpdateStatus::Completed, now),
            // While it soaks, the new version is no news. Before, another one proves nothing yet: many devices report before
            // they restart, and the deadline decides.
            (true, Some(_), _) | (false, None, _) => self,
            (false, Some(_), _) => {
                // It came back by itself.
                self.installed_reported = false;
                self.error = Some(UpdateError {
                    code: "HEALTH_CHECK_FAILED".to_owned(),
                    message: "the device did not stay on the new version: it reported another one"
                        .to_owned(),
                });
                self.end(UpdateStatus::Failed, now)
            }
        }
    }

    /// Whether the device is to report its version now: when it says that it is done, and once more when it has stayed
    /// on the new one for as long as it must.
    pub fn needs_version_report(&self, now: Timestamp) -> bool {
        self.status == UpdateStatus::Verifying && self.soaks_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{UpdateEvent, UpdateOptions},
        *,
    };
    use crate::feedback::{Execution, Feedback, Finished};

    const SOAK: Duration = Duration::from_hours(2);

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn closed_event(finished: Finished) -> UpdateEvent {
        UpdateEvent::Feedback(Feedback::new(Execution::Closed, finished))
    }

    fn version_reported(is_target: bool) -> UpdateEvent {
        UpdateEvent::VersionReported { is_target }
    }

    /// An update of an hour that has to soak for two, after these events, each at its minute.
    fn state_after(events: &[(i64, UpdateEvent)]) -> UpdateState {
        let options = UpdateOptions::forced(Duration::from_hours(1));
        let offered = UpdateState::offered(SuccessCriteria::Soaked(SOAK), options, minute(0));
        events.iter().fold(offered, |state, (at, event)| {
            state.after(event, minute(*at)).expect("it is taken")
        })
    }

    #[test]
    fn success_criteria_round_trip() {
        for success_criteria in [
            SuccessCriteria::Reported,
            SuccessCriteria::Attested,
            SuccessCriteria::Soaked(SOAK),
        ] {
            assert_eq!(
                SuccessCriteria::parse(success_criteria.as_str(), success_criteria.soak()),
                Some(success_criteria)
            );
        }
        for (text, soak) in [("soaked", None), ("attested", Some(SOAK)), ("felt", None)] {
            assert_eq!(SuccessCriteria::parse(text, soak), None, "{text}");
        }
    }

    #[test]
    fn a_device_must_report_the_version_again_after_soaking() {
        use UpdateEvent::DeadlinePassed;
        use UpdateStatus as S;
        let soaking_events = [
            (5, closed_event(Finished::Success)),
            (10, version_reported(true)),
        ];
        let soaking = state_after(&soaking_events);
        assert_eq!(soaking.status, S::Verifying);
        assert_eq!(soaking.soaks_until, Some(minute(130)));
        assert_eq!(
            (soaking.timeout_at, soaking.ends_at),
            (minute(130), minute(190))
        );
        for (events, status, code) in [
            (vec![(129, version_reported(true))], S::Verifying, None),
            (vec![(130, version_reported(true))], S::Completed, None),
            (vec![(130, DeadlinePassed)], S::Verifying, None),
            (
                vec![(130, DeadlinePassed), (189, version_reported(true))],
                S::Completed,
                None,
            ),
            (
                vec![(130, DeadlinePassed), (190, DeadlinePassed)],
                S::TimedOut,
                Some("TIMEOUT"),
            ),
            (
                vec![(130, DeadlinePassed), (140, version_reported(false))],
                S::Failed,
                Some("HEALTH_CHECK_FAILED"),
            ),
            (
                vec![(60, version_reported(false))],
                S::Failed,
                Some("HEALTH_CHECK_FAILED"),
            ),
            (
                vec![(60, closed_event(Finished::Failure))],
                S::Failed,
                Some("FAILED"),
            ),
            (vec![(60, UpdateEvent::CancelRequested)], S::Cancelled, None),
        ] {
            let all: Vec<_> = soaking_events.iter().cloned().chain(events).collect();
            let ended = state_after(&all);
            let error_code = ended.error.as_ref().map(|error| error.code.as_str());
            assert_eq!((ended.status, error_code), (status, code), "{all:?}");
        }
    }

    #[test]
    fn a_device_that_reverts_does_not_count_as_installed() {
        let soaking_events = [
            (5, closed_event(Finished::Success)),
            (10, version_reported(true)),
        ];
        assert!(state_after(&soaking_events).installed_reported);
        let fell_back: Vec<_> = soaking_events
            .into_iter()
            .chain([(60, version_reported(false))])
            .collect();
        assert!(!state_after(&fell_back).installed_reported);
    }

    #[test]
    fn soaking_starts_with_the_first_report_of_the_new_version() {
        let early = state_after(&[
            (4, version_reported(true)),
            (5, closed_event(Finished::Success)),
            (6, version_reported(false)),
        ]);
        assert_eq!(
            (early.status, early.soaks_until),
            (UpdateStatus::Verifying, None)
        );
    }

    #[test]
    fn the_version_is_requested_before_and_after_soaking() {
        let done = [
            (5, closed_event(Finished::Success)),
            (10, version_reported(true)),
        ];
        assert!(!state_after(&[]).needs_version_report(minute(1)));
        assert!(state_after(&done[..1]).needs_version_report(minute(6)));
        let soaking = state_after(&done);
        assert!(!soaking.needs_version_report(minute(129)));
        assert!(soaking.needs_version_report(minute(130)));
    }

    #[test]
    fn rollbacks_do_not_soak() {
        assert_eq!(
            SuccessCriteria::Soaked(SOAK).for_rollback(),
            SuccessCriteria::Attested
        );
        assert_eq!(
            SuccessCriteria::Reported.for_rollback(),
            SuccessCriteria::Reported
        );
    }
}
