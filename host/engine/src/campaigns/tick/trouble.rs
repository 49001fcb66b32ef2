//! Plugins that fail: how long to wait before they are asked again, and when to stop asking.

use std::time::Duration;

use super::{BACK_OFF, Tick};
use crate::ports::{Applied, CallFailure, Run};

/// A plugin that failed this often in a row in a way that will repeat itself holds its campaign.
const FAILURES_BEFORE_HOLD: u32 = 3;
/// A plugin that missed its deadline this often in a row does: after a quarter of an hour it is no longer the load.
const MISSES_BEFORE_HOLD: u32 = 10;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

impl Tick<'_> {
    /// After a failure no plugin is asked for a while, whatever wakes the campaign; what is released is still admitted.
    pub(super) fn backing_off(&self, run: &Run) -> Option<Applied> {
        let retry_at = run.trouble.retry_at.filter(|at| *at > self.now)?;
        Some(Applied {
            wake_at: Some(retry_at),
            ..self.nothing(run)
        })
    }

    pub(super) fn failed(&self, run: &Run, plugin: &str, failure: &CallFailure) -> Applied {
        let mut trouble = run.trouble;
        let (count, most) = if failure.is_deterministic() {
            trouble.failures += 1;
            (trouble.failures, FAILURES_BEFORE_HOLD)
        } else {
            trouble.misses = trouble.misses.saturating_add(1);
            (trouble.misses, MISSES_BEFORE_HOLD)
        };
        // Where the host failed the plugin is not to blame, and no operator is to resume every campaign after it.
        let is_to_blame = !matches!(failure, CallFailure::Host(_));
        if is_to_blame && count >= most {
            let reason = format!("the plugin {plugin} failed {count} times in a row: {failure}");
            return Applied {
                trouble,
                ..self.hold(run, reason, plugin)
            };
        }
        let retry_at = self.now.plus(wait(trouble.failures + trouble.misses));
        trouble.retry_at = Some(retry_at);
        let said = if is_to_blame {
            format!("{plugin} failed ({count} of {most}): {failure}")
        } else {
            format!("{plugin} was not asked: {failure}")
        };
        Applied {
            wake_at: Some(retry_at),
            explain: Some(vec![said]),
            trouble,
            ..self.nothing(run)
        }
    }

    /// The strategy's decision stands, for it was shown that a policy said nothing; a policy that keeps failing holds
    /// the campaign all the same.
    pub(super) fn despite_failure(
        &self,
        run: &Run,
        decided: Applied,
        policy: &str,
        failure: &CallFailure,
    ) -> Applied {
        let failed = self.failed(run, policy, failure);
        if failed.status.is_some() {
            return failed;
        }
        let wake_at = decided.wake_at.into_iter().chain(failed.wake_at).min();
        Applied {
            wake_at,
            trouble: failed.trouble,
            ..decided
        }
    }
}

/// After so many failures in a row: doubled with each.
fn wait(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    BACK_OFF.saturating_mul(doubled).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        for (failures, seconds) in [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (u32::MAX, 300)] {
            assert_eq!(wait(failures), Duration::from_secs(seconds), "{failures}");
        }
    }
}
