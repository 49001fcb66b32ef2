//! How often a failed update is retried, and the delays in between.

use std::time::Duration;

use crate::id::UpdateId;

/// Maximum retries of an update.
pub const MAX_RETRIES: u32 = 10;
/// Maximum retry delay, configured or after doubling, before jitter.
pub const MAX_RETRY_DELAY: Duration = Duration::from_hours(1);

/// How often, and after which delay, a failed update is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum retries after the first attempt, up to [`MAX_RETRIES`].
    pub max_retries: u32,
    /// Delay before the first retry; doubles with each retry, up to [`MAX_RETRY_DELAY`].
    pub delay: Duration,
}

impl RetryPolicy {
    /// No retries.
    pub const NONE: Self = Self {
        max_retries: 0,
        delay: Duration::from_mins(1),
    };

    /// Delay before a retry, counted from 1, after the failure of the update `failed`.
    ///
    /// Jitter adds up to 25 % to the doubled delay, so that devices that fail together do not retry together. It is
    /// derived from the id of the failed update: the same failure always has the same delay.
    pub fn delay_before(self, retry: u32, failed: UpdateId) -> Duration {
        let doubled = 2_u32.saturating_pow(retry.saturating_sub(1));
        let delay = self.delay.saturating_mul(doubled).min(MAX_RETRY_DELAY);
        delay + delay / 4 * (hash_bits(failed) % 1024) / 1024
    }
}

/// Mixes the bits of the id (finalizer of `MurmurHash3`).
fn hash_bits(id: UpdateId) -> u32 {
    let mut bits = id.0.cast_unsigned();
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(limit: u32, seconds: u64) -> RetryPolicy {
        RetryPolicy {
            max_retries: limit,
            delay: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn retry_delays_double_up_to_an_hour_with_upward_jitter() {
        for (retry, seconds) in [
            (1, 60),
            (2, 120),
            (3, 240),
            (6, 1920),
            (7, 3600),
            (10, 3600),
        ] {
            let delays = (1..200).map(|id| {
                retries(10, 60)
                    .delay_before(retry, UpdateId(id))
                    .as_millis()
            });
            let delays: std::collections::BTreeSet<u128> = delays.collect();
            let (Some(shortest), Some(longest)) = (delays.first(), delays.last()) else {
                panic!("no delays");
            };
            let shortest_delay = seconds * 1000;
            assert!(
                (shortest_delay..shortest_delay + shortest_delay / 40).contains(shortest),
                "{retry}: {shortest}"
            );
            let limit = shortest_delay * 5 / 4;
            assert!(
                (limit - shortest_delay / 40..=limit).contains(longest),
                "{retry}: {longest}"
            );
            assert!(
                delays.len() > 150,
                "{retry}: {} different delays",
                delays.len()
            );
        }
        let delay_before = || retries(10, 60).delay_before(4, UpdateId(7));
        assert_eq!(
            delay_before(),
            delay_before(),
            "the same failure has the same delay"
        );
    }
}
