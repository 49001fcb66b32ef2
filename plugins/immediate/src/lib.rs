//! The strategy `immediate`: a single wave, released as fast as the limits allow.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The strategy.
#[derive(Debug)]
pub struct Immediate;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Maximum devices in flight.
    batch_size: Option<u64>,
}

impl Plugin for Immediate {
    const NAME: &'static str = "immediate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Offers the firmware to every device at once, or in batches.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl Strategy for Immediate {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![Wave::new(
            "all devices",
            Members::Rest,
        )]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        in_order(observation, config.batch_size, |_| Gate::Open)
    }
}

tidegate_plugin_sdk::export_strategy!(Immediate);

#[cfg(test)]
mod tests;
