//! The reporting clock: it runs while devices can report, and stands still while they cannot. The deadlines of updates
//! go by it, so that the server's own absence is not the devices' silence.

use std::time::Duration;

use crate::time::Timestamp;

/// How often a server that takes reports records a heartbeat.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(10);
/// How late a heartbeat may be on a server that runs.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// After a longer time without a heartbeat the clock has stood still since the last one, and a time that differs more
/// from it has jumped.
pub const MAX_SILENCE: Duration = Duration::from_secs(30);

/// State of the clock as of its last heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportingClock {
    /// How long it has stood still in total, in milliseconds. Negative if the time was set back.
    pub stopped_ms: i64,
    /// The last heartbeat; `None`: it has always run.
    pub beat_at: Option<Timestamp>,
    /// It stands still until then; `None`: it has never stood still.
    pub runs_from: Option<Timestamp>,
}

impl ReportingClock {
    /// The clock after a heartbeat. It has stood still since the last one if reports were `interrupted`, if no heartbeat
    /// was recorded for long, or if the time has jumped. Then it runs again after `grace`, in which devices report what
    /// they could not report before.
    #[must_use]
    pub fn beat(self, now: Timestamp, interrupted: bool, grace: Duration) -> Self {
        let Some(last) = self.beat_at else {
            return Self {
                beat_at: Some(now),
                ..self
            };
        };
        let since = now.0.saturating_sub(last.0);
        let beat_at = Some(now);
        if interrupted || !self.has_recent_beat(now) {
            return Self {
                stopped_ms: self.stopped_ms.saturating_add(since),
                beat_at,
                runs_from: Some(now.plus(grace)),
            };
        }
        let stood_still = match self.runs_from {
            Some(runs_from) if last < runs_from => now.min(runs_from).0.saturating_sub(last.0),
            _ => 0,
        };
        Self {
            stopped_ms: self.stopped_ms.saturating_add(stood_still),
            beat_at,
            ..self
        }
    }

    /// True if the last heartbeat is recent.
    pub fn has_recent_beat(&self, now: Timestamp) -> bool {
        let max = i64::try_from(MAX_SILENCE.as_millis()).unwrap_or(i64::MAX);
        let since = |last: Timestamp| now.0.saturating_sub(last.0);
        self.beat_at
            .is_none_or(|last| (-max..=max).contains(&since(last)))
    }

    /// True if another server may have recorded the last heartbeat and run until now. False if the next one is missing.
    pub fn may_be_kept_by_others(&self, now: Timestamp) -> bool {
        self.has_recent_beat(now)
            && self
                .beat_at
                .is_some_and(|last| now.since(last) <= HEARTBEAT_PERIOD + MAX_DELAY)
    }

    /// True if it runs, so that deadlines may pass.
    pub fn runs(&self, now: Timestamp) -> bool {
        self.has_recent_beat(now) && self.runs_from.is_none_or(|runs_from| runs_from <= now)
    }

    /// True if a heartbeat is to be recorded.
    pub fn is_beat_due(&self, now: Timestamp) -> bool {
        !self.has_recent_beat(now)
            || self
                .beat_at
                .is_none_or(|last| now.since(last) >= HEARTBEAT_PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_mins(10);

    fn second(n: i64) -> Timestamp {
        Timestamp(n * 1000)
    }

    /// A clock with heartbeats in every ten seconds of this range.
    fn beating(mut clock: ReportingClock, from: i64, until: i64) -> ReportingClock {
        for at in (from..=until).step_by(10) {
            clock = clock.beat(second(at), false, GRACE);
        }
        clock
    }

    fn stopped(clock: &ReportingClock) -> i64 {
        clock.stopped_ms / 1000
    }

    #[test]
    fn a_clock_that_beats_runs() {
        let clock = ReportingClock::default();
        assert!(clock.runs(second(0)) && clock.is_beat_due(second(0)));
        let clock = beating(clock, 0, 3600);
        assert_eq!(stopped(&clock), 0);
        assert!(clock.runs(second(3609)) && !clock.is_beat_due(second(3609)));
        assert!(clock.is_beat_due(second(3610)));
        assert!(clock.runs(second(3630)) && !clock.runs(second(3631)));
    }

    #[test]
    fn it_stands_still_from_the_last_heartbeat_until_the_grace_is_over() {
        let absent = 2 * 3600;
        for (interrupted, gap) in [(true, 5), (true, absent), (false, absent), (false, 31)] {
            let clock = beating(ReportingClock::default(), 0, 100);
            let back = 100 + gap;
            let clock = clock.beat(second(back), interrupted, GRACE);
            assert_eq!(stopped(&clock), gap, "{interrupted} {gap}");
            assert!(!clock.runs(second(back + 1)));
            let clock = beating(clock, back + 10, back + 640);
            assert_eq!(stopped(&clock), gap + 600, "{interrupted} {gap}");
            assert!(clock.runs(second(back + 640)));
        }
    }

    #[test]
    fn a_jump_of_the_time_does_not_move_it() {
        for jump in [7200, -7200] {
            let clock = beating(ReportingClock::default(), 10_000, 10_100);
            assert!(
                !clock.runs(second(10_100 + jump)),
                "until the next heartbeat"
            );
            let clock = clock.beat(second(10_100 + jump), false, GRACE);
            let clock = beating(clock, 10_110 + jump, 10_700 + jump);
            assert_eq!(stopped(&clock), jump + 600);
            assert!(clock.runs(second(10_700 + jump)));
        }
        // A small correction is none.
        let clock = beating(ReportingClock::default(), 0, 100);
        assert_eq!(stopped(&clock.beat(second(98), false, GRACE)), 0);
    }

    #[test]
    fn a_second_interruption_begins_the_grace_again() {
        let clock = beating(ReportingClock::default(), 0, 100);
        let clock = clock.beat(second(1000), false, GRACE);
        let clock = beating(clock, 1010, 1300).beat(second(1310), true, GRACE);
        assert_eq!(clock.runs_from, Some(second(1910)));
        assert_eq!(stopped(&beating(clock, 1320, 2500)), 1910 - 100);
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_runs_faster_than_the_time(
            steps in prop::collection::vec((-100_i64..200, any::<bool>()), 1..50),
        ) {
            let (mut clock, mut now) = (ReportingClock::default().beat(second(0), false, GRACE), 0);
            for (step, interrupted) in steps {
                now += step;
                let before = clock;
                clock = before.beat(second(now), interrupted, GRACE);
                let ran = step * 1000 - (clock.stopped_ms - before.stopped_ms);
                let slack = MAX_SILENCE.as_millis() as i64;
                prop_assert!((-slack..=slack).contains(&ran), "{before:?} {clock:?}");
                prop_assert!(ran <= 0 || before.runs_from.is_none_or(|from| from < second(now)));
            }
        }
    }
}
