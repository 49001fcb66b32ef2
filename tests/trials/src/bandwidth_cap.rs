//! The strategy `bandwidth-cap`: releases devices no faster than their downloads fit a number of bytes per hour.

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::{duration_text, prelude::*, read_state, write_state};

const HOUR: u128 = 3_600_000;

/// The strategy.
#[derive(Debug)]
pub struct BandwidthCap;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    bytes_per_hour: u64,
}

/// A token bucket. It holds the bytes of one device, so that a campaign that was paused does not catch up in one burst.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Bucket {
    filled_at: u64,
    /// Bytes times the milliseconds of an hour, so that no fraction is lost.
    tokens: u128,
}

impl Plugin for BandwidthCap {
    const NAME: &'static str = "trial/bandwidth-cap";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Limits how many bytes devices download in an hour.";
    const SCHEMA: &'static str = include_str!("../schema/bandwidth-cap.json");
    type Config = Config;
}

impl Strategy for BandwidthCap {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || {
            let wave = &observation.waves[0];
            let now = observation.context.now;
            let rate = u128::from(config.bytes_per_hour.max(1));
            let price = u128::from(observation.firmware.size.max(1)) * HOUR;
            let mut bucket: Bucket = read_state(&observation.state)?;
            if !wave.is_open() {
                bucket.tokens = price;
                bucket.filled_at = now;
            }
            // As many devices as fit a minute may go at once: the host does not ask much more often.
            let capacity = price.max(rate * 60_000);
            let filled = bucket.tokens + rate * u128::from(now - bucket.filled_at);
            bucket.tokens = filled.min(capacity);
            bucket.filled_at = now;
            let left = u128::from(wave.size - wave.released);
            let devices = (bucket.tokens / price).min(left);
            bucket.tokens -= devices * price;
            let next_in = price.saturating_sub(bucket.tokens).div_ceil(rate) as u64;
            Ok(Decision::levels([wave.released + devices as u64])
                .with_explain(format!(
                    "A download takes {} of the {} bytes in an hour; the next one begins in {}.",
                    observation.firmware.size,
                    config.bytes_per_hour,
                    duration_text(next_in)
                ))
                .with_wake_after(next_in)
                .with_state(write_state(&bucket)?))
        })
    }
}
