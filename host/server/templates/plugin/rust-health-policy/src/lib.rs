//! The health policy `{{name}}`: holds a campaign when devices refuse the update.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The policy. A plugin keeps nothing between calls, so the type is empty.
pub struct Refusals;

/// The config, see `schema.json`.
#[derive(Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    tolerated: u64,
}

impl Plugin for Refusals {
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Holds a campaign when devices refuse the update.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl HealthPolicy for Refusals {
    fn evaluate(input: &HealthInput, config: &Config) -> Result<HealthAnswer, String> {
        let refused = input.total.rejected;
        let sentence = format!(
            "{refused} devices refused the update; {} are tolerated.",
            config.tolerated
        );
        let verdict = if refused > config.tolerated {
            HealthVerdict::Hold(sentence.clone())
        } else {
            HealthVerdict::Healthy
        };
        // A refusal is certain.
        Ok(HealthAnswer::new(verdict, 10_000, vec![sentence]))
    }
}

tidegate_plugin_sdk::export_health_policy!(Refusals);

#[cfg(test)]
mod tests;
