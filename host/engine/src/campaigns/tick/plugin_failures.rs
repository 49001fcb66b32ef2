//! Back-off after plugin failures, and the hold after repeated ones.

use std::time::Duration;

use tidegate_core::plugin::PluginName;

use super::{BACK_OFF, Tick};
use crate::ports::{CallFailure, PluginFailureState, RecentTicks, Run, TickOutcome};

/// Consecutive repeatable failures of a plugin after which its campaign is held.
const FAILURES_BEFORE_HOLD: u32 = 3;
/// Such failures in the last [`RecentTicks::COUNT`] ticks after which its campaign is held, although others were between
/// them.
const RECENT_FAILURES_BEFORE_HOLD: u32 = 8;
/// Consecutive missed deadlines after which a campaign is held: after a quarter of an hour load is not the cause.
const TIMEOUTS_BEFORE_HOLD: u32 = 10;
/// Missed deadlines in the last [`RecentTicks::COUNT`] ticks after which a campaign is held, although answers were between
/// them: half of the calls. Load may be the cause of fewer. With the back-off, which grows with them, they take eight
/// minutes at least, so that a short overload of the server holds no campaign.
const RECENT_TIMEOUTS_BEFORE_HOLD: u32 = RecentTicks::COUNT / 2;
/// Maximum back-off.
const MAX_BACK_OFF: Duration = Duration::from_mins(5);

impl Tick<'_> {
    /// During the back-off no plugin is called, whatever wakes the campaign. Released devices are still offered their
    /// updates.
    pub(super) fn back_off(&self, run: &Run) -> Option<TickOutcome> {
        let retry_at = run.plugin_failures.retry_at.filter(|at| *at > self.now)?;
        Some(TickOutcome {
            wake_at: Some(retry_at),
            ..self.unchanged(run)
        })
    }

    pub(super) fn plugin_failed(
        &self,
        run: &Run,
        plugin: &PluginName,
        failure: &CallFailure,
    ) -> TickOutcome {
        let mut plugin_failures = run.plugin_failures;
        let is_deterministic = failure.is_deterministic();
        let is_timeout = matches!(failure, CallFailure::Deadline(_));
        plugin_failures.recent = plugin_failures.recent.then(is_deterministic);
        plugin_failures.recent_timeouts = plugin_failures.recent_timeouts.then(is_timeout);
        let (count, limit) = if is_deterministic {
            plugin_failures.failures = plugin_failures.failures.saturating_add(1);
            (plugin_failures.failures, FAILURES_BEFORE_HOLD)
        } else {
            plugin_failures.timeouts = plugin_failures.timeouts.saturating_add(1);
            (plugin_failures.timeouts, TIMEOUTS_BEFORE_HOLD)
        };
        // A failure of the server is not the plugin's fault, and must not leave every campaign to be resumed by an
        // operator.
        let is_to_blame = !matches!(failure, CallFailure::Host(_));
        let (recent, recent_limit) = if is_deterministic {
            (
                plugin_failures.recent.failures(),
                RECENT_FAILURES_BEFORE_HOLD,
            )
        } else {
            let missed = plugin_failures.recent_timeouts.failures();
            (missed, RECENT_TIMEOUTS_BEFORE_HOLD)
        };
        let times = if count >= limit {
            Some(format!("{count} times in a row"))
        } else if recent >= recent_limit {
            Some(format!(
                "in {recent} of the last {} ticks",
                RecentTicks::COUNT
            ))
        } else {
            None
        };
        if let (true, Some(times)) = (is_to_blame, times) {
            let reason = format!("the plugin {plugin} failed {times}: {failure}");
            return TickOutcome {
                plugin_failures,
                ..self.hold(run, reason, &plugin.to_string())
            };
        }
        let in_a_row = plugin_failures
            .failures
            .saturating_add(plugin_failures.timeouts);
        // A plugin that answers between its timeouts waits longer too.
        let alternating = plugin_failures.recent_timeouts.failures() / 2;
        let retry_at = self.now.plus(back_off_after(in_a_row.max(alternating)));
        plugin_failures.retry_at = Some(retry_at);
        let explain = if is_to_blame {
            format!("{plugin} failed ({count} of {limit}): {failure}")
        } else {
            format!("{plugin} was not called: {failure}")
        };
        TickOutcome {
            wake_at: Some(retry_at),
            explain: Some(vec![explain]),
            plugin_failures,
            ..self.unchanged(run)
        }
    }

    /// Keeps the strategy's outcome despite a policy's failure, because the strategy saw the verdict as inconclusive. A
    /// policy that keeps failing still holds the campaign.
    pub(super) fn with_policy_failure(
        &self,
        run: &Run,
        outcome: TickOutcome,
        policy: &PluginName,
        failure: &CallFailure,
    ) -> TickOutcome {
        let failed = self.plugin_failed(run, policy, failure);
        if failed.status.is_some() {
            return failed;
        }
        let wake_at = outcome.wake_at.into_iter().chain(failed.wake_at).min();
        TickOutcome {
            wake_at,
            plugin_failures: failed.plugin_failures,
            ..outcome
        }
    }
}

/// The state after a tick whose strategy answered, and no policy failed.
pub(super) fn after_success(before: PluginFailureState) -> PluginFailureState {
    PluginFailureState {
        recent: before.recent.then(false),
        recent_timeouts: before.recent_timeouts.then(false),
        ..PluginFailureState::default()
    }
}

/// Back-off after this many consecutive failures: doubles with each.
fn back_off_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    BACK_OFF.saturating_mul(doubled).min(MAX_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        for (failures, seconds) in [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (u32::MAX, 300)] {
            assert_eq!(
                back_off_after(failures),
                Duration::from_secs(seconds),
                "{failures}"
            );
        }
    }
}
