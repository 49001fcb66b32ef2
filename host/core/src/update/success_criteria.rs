//! Success criteria: when an update counts as completed.

use std::time::Duration;

use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::{UpdateError, UpdateState, UpdateStatus};
use crate::time::Timestamp;

/// Maximum soak time: 30 days.
pub const MAX_SOAK: Duration = Duration::from_hours(30 * 24);

/// What completes an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumDiscriminants)]
#[strum(serialize_all = "snake_case")]
#[strum_discriminants(
    name(SuccessCriteriaName),
    doc = "Name of success criteria.",
    derive(Default, IntoStaticStr, EnumString, VariantArray, VariantNames),
    strum(serialize_all = "snake_case")
)]
pub enum SuccessCriteria {
    /// The device reports success.
    #[strum_discriminants(default)]
    Reported,
    /// The device reports success, then the new version.
    Attested,
    /// As attested; in addition the device reports the new version again after this soak time without a failure.
    Soaked(Duration),
}

impl SuccessCriteria {
    /// The criteria of this name; `soak` is required for `soaked` and allowed for no other.
    pub fn new(name: SuccessCriteriaName, soak: Option<Duration>) -> Option<Self> {
        match (name, soak) {
            (SuccessCriteriaName::Reported, None) => Some(Self::Reported),
            (SuccessCriteriaName::Attested, None) => Some(Self::Attested),
            (SuccessCriteriaName::Soaked, Some(time)) => Some(Self::Soaked(time)),
            _ => None,
        }
    }

    /// The soak time.
    pub fn soak(self) -> Option<Duration> {
        match self {
            Self::Soaked(time) => Some(time),
            Self::Reported | Self::Attested => None,
        }
    }

    /// Criteria of a rollback: no soak time, since the restored firmware was in use before.
    #[must_use]
    pub fn for_rollback(self) -> Self {
        match self {
            Self::Soaked(_) => Self::Attested,
            other => other,
        }
    }
}

impl UpdateState {
    /// Applies a reported version.
    pub(super) fn apply_version_report(mut self, is_target: bool, now: Timestamp) -> Self {
        if is_target && self.is_completed_by_version() {
            let was_cancelled = self.status == UpdateStatus::Cancelled;
            self = self.reopened(now);
            if was_cancelled {
                return self.decide_by_version(is_target, now);
            }
            self.status = UpdateStatus::Verifying;
            self.installed_reported = true;
        }
        if self.status != UpdateStatus::Verifying {
            return self;
        }
        if self.cancel_acknowledged {
            return self.decide_by_version(is_target, now);
        }
        match (is_target, self.soaks_until, self.success_criteria) {
            (true, None, SuccessCriteria::Soaked(time)) => {
                let until = now.plus(time);
                self.soaks_until = Some(until);
                self.timeout_at = until;
                // After the soak time the device is asked again, with the update timeout to answer.
                self.ends_at = until.plus(self.options.timeouts.update);
                self
            }
            (true, None, _) => self.end(UpdateStatus::Completed, now),
            (true, Some(until), _) if now >= until => self.end(UpdateStatus::Completed, now),
            // During the soak time the new version is expected. Before it, another version proves nothing: many
            // devices report before they restart, and the deadline decides.
            (true, Some(_), _) | (false, None, _) => self,
            (false, Some(_), _) => {
                // The device reverted by itself.
                self.installed_reported = false;
                self.error = Some(UpdateError {
                    code: "HEALTH_CHECK_FAILED".to_owned(),
                    message: "the device reported another version during the soak time".to_owned(),
                });
                self.end(UpdateStatus::Failed, now)
            }
        }
    }

    /// True if the device should report its version: after it reported success, and again after the soak time.
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
    use crate::{
        Named as _,
        feedback::{Execution, Feedback, Finished},
    };

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

    /// An update with a timeout of one hour and a soak time of two, after these events, each at its minute.
    fn state_after(events: &[(i64, UpdateEvent)]) -> UpdateState {
        let options = UpdateOptions::forced(Duration::from_hours(1));
        let offered = UpdateState::offered(SuccessCriteria::Soaked(SOAK), options, minute(0));
        events.iter().fold(offered, |state, (at, event)| {
            state.after(event, minute(*at)).expect("a valid event")
        })
    }

    #[test]
    fn success_criteria_round_trip() {
        for success_criteria in [
            SuccessCriteria::Reported,
            SuccessCriteria::Attested,
            SuccessCriteria::Soaked(SOAK),
        ] {
            let name = success_criteria.as_str().parse().expect("a name");
            let read = SuccessCriteria::new(name, success_criteria.soak());
            assert_eq!(read, Some(success_criteria));
        }
        for (name, soak) in [
            (SuccessCriteriaName::Soaked, None),
            (SuccessCriteriaName::Attested, Some(SOAK)),
        ] {
            assert_eq!(SuccessCriteria::new(name, soak), None, "{name:?}");
        }
        assert!("felt".parse::<SuccessCriteriaName>().is_err());
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
