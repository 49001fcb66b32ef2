//! The strategy `one-device-first`: one device is updated before all others, and another one if the first is off.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The strategy.
#[derive(Debug)]
pub struct OneDeviceFirst;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After this time without a result another device is tried.
    patience_minutes: Minutes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            patience_minutes: Minutes::new(60),
        }
    }
}

impl Plugin for OneDeviceFirst {
    const NAME: &'static str = "trial/one-device-first";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Updates one device first, and another one if that is off.";
    const SCHEMA: &'static str = include_str!("../schema/one-device-first.json");
    type Config = Config;
}

impl Strategy for OneDeviceFirst {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)]))
    }

    /// Needs no state: one device more is tried for each failed one, and for each period since the first.
    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || {
            let wave = &observation.waves[0];
            if wave.counts.completed > 0 {
                return Ok(Decision::levels([wave.size]).with_explain("The first device is done."));
            }
            let failed = wave.counts.failed + wave.counts.rejected;
            if failed > 0 && !observation.resumed_since(wave.last_progress_at) {
                return Ok(Decision::hold("The first device has failed."));
            }
            let now = observation.context.now;
            let patience = config.patience_minutes.milliseconds().max(1);
            let opened_at = wave.opened_at.unwrap_or(now);
            let periods = (now - opened_at) / patience;
            let tried = 1 + failed + periods;
            Ok(Decision::levels([tried])
                .with_explain(format!("Devices tried: {tried}. None has succeeded yet."))
                .with_wake_after(opened_at + (periods + 1) * patience - now))
        })
    }
}
