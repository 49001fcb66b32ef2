//! When a strategy is called again without an event.

use std::time::Duration;

/// A campaign waits for this many times as long as its plugin calls took, so its own wake-ups use at most a twentieth of a
/// core.
const COST_FACTOR: u32 = 20;
/// Least time to a wake-up.
const MIN_WAKE_AFTER: Duration = Duration::from_secs(1);
/// While nothing changes, the least time grows up to this.
const MAX_UNCHANGED: Duration = Duration::from_mins(1);

/// The least time until a strategy is called again because it asked for it. An event wakes it earlier. `cost`: how long
/// the plugin calls of this tick took; `unchanged`: how many wake-ups in a row found and changed nothing.
pub(super) fn min_wake_after(cost: Duration, unchanged: u32) -> Duration {
    let least = cost.saturating_mul(COST_FACTOR).max(MIN_WAKE_AFTER);
    // The first of them waited for what the strategy had seen.
    let doublings = unchanged.saturating_sub(1);
    let grown = least.saturating_mul(2_u32.saturating_pow(doublings));
    least.max(grown.min(MAX_UNCHANGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_waits_for_twenty_times_its_cost_and_longer_while_nothing_changes() {
        for (cost, unchanged, expected) in [
            (0, 0, 1000),
            (50, 0, 1000),
            (51, 1, 1020),
            (250, 0, 5000),
            (0, 2, 2000),
            (0, 5, 16_000),
            (0, 7, 60_000),
            (0, u32::MAX, 60_000),
            (250, 3, 20_000),
            (250, 9, 60_000),
            (5000, 0, 100_000),
            (5000, 9, 100_000),
        ] {
            let least = min_wake_after(Duration::from_millis(cost), unchanged);
            assert_eq!(least.as_millis(), expected, "{cost} ms, {unchanged}");
        }
    }
}
