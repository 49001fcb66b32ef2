//! The strategy `exponential-ramp`: each step releases a multiple of the devices of the one before it.

use serde::Deserialize;
use tidegate_plugin_sdk::{milliseconds_left, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct ExponentialRamp;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    initial_devices: u64,
    factor: f64,
    pause_minutes: Minutes,
    success_percentage: Percent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_devices: 1,
            factor: 2.0,
            pause_minutes: Minutes::new(30),
            success_percentage: Percent::new(95),
        }
    }
}

impl Plugin for ExponentialRamp {
    const NAME: &'static str = "trial/exponential-ramp";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Multiplies the number of released devices at each step.";
    const SCHEMA: &'static str = include_str!("../schema/exponential-ramp.json");
    type Config = Config;
}

impl Strategy for ExponentialRamp {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)]))
    }

    /// Needs no state: the level is the position on the ramp.
    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || Ok(next_step(observation, config)))
    }
}

fn next_step(observation: &Observation, config: &Config) -> Decision {
    let wave = &observation.waves[0];
    let released = wave.released;
    if !wave.is_open() {
        let devices = config.initial_devices;
        return Decision::levels([devices])
            .with_explain(format!("The ramp begins with {devices}."));
    }
    if wave.outstanding() > 0 {
        let left = wave.outstanding();
        return Decision::levels([released]).with_explain(format!(
            "{left} of {released} released devices have not ended."
        ));
    }
    let ended = wave.counts.conclusive();
    let since = wave.last_progress_at;
    if wave.counts.completed < config.success_percentage.of(ended)
        && !observation.resumed_since(since)
    {
        let completed = wave.counts.completed;
        return Decision::hold(format!("Only {completed} of {ended} devices are updated."));
    }
    let pause = config.pause_minutes.milliseconds();
    if let Some(left) = milliseconds_left(observation.context.now, since, pause) {
        return Decision::wait(
            "The step has succeeded; the next one follows after a pause.",
            left,
        );
    }
    let level = (released as f64 * config.factor).ceil() as u64;
    let level = level.max(released + 1).min(wave.size);
    Decision::levels([level]).with_explain(format!("The ramp rises from {released} to {level}."))
}
