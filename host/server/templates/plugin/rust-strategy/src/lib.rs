//! The strategy `{{name}}`: one half of the devices, a pause, then the other half.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, milliseconds_left, prelude::*};

/// The strategy. A plugin keeps nothing between calls, so the type is empty.
pub struct Halves;

/// The config, see `schema.json`.
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pause_hours: Hours,
    success_percent: Percent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pause_hours: Hours::new(24),
            success_percent: Percent::new(90),
        }
    }
}

impl Plugin for Halves {
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "One half of the devices, a pause, then the other half.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl Strategy for Halves {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![
            Wave::new("first half", Members::Share(5000)),
            Wave::new("second half", Members::Rest),
        ]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        in_order(observation, None, |transition| {
            // Until enough devices are updated the gate waits. If all have ended and too few are, it holds the campaign.
            if let Some(gate) = transition.before.success_gate(config.success_percent) {
                return gate;
            }
            let pause = config.pause_hours.milliseconds();
            match milliseconds_left(transition.now, transition.before.opened_at, pause) {
                None => Gate::Open,
                Some(left) => Gate::Wait {
                    reason: format!("The second half may follow in {}.", duration_text(left)),
                    opens_in: Some(left),
                },
            }
        })
    }
}

tidegate_plugin_sdk::export_strategy!(Halves);

#[cfg(test)]
mod tests;
