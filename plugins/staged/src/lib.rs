//! The strategy `staged`: stages of growing size, each with a minimum duration.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, milliseconds_left, percent_text, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct Staged;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    stages: Vec<Stage>,
    #[serde(default = "default_success_percentage")]
    success_percentage: Percent,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Cumulative percentage of all devices.
    percentage: Percent,
    #[serde(default = "default_duration_hours")]
    duration_hours: Hours,
}

const fn default_success_percentage() -> Percent {
    Percent::new(95)
}

const fn default_duration_hours() -> Hours {
    Hours::new(0)
}

impl Plugin for Staged {
    const NAME: &'static str = "staged";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Rolls out in stages, each a larger share of the devices.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let mut below = 0;
        let mut errors = Vec::new();
        for (index, stage) in config.stages.iter().enumerate() {
            let share = stage.percentage.basis_points();
            if share <= below {
                errors.push(FieldError::new(
                    format!("/stages/{index}/percentage"),
                    format!(
                        "must be more than {}: percentages are cumulative",
                        percent_text(below)
                    ),
                ));
            }
            below = below.max(share);
        }
        errors
    }
}

impl Strategy for Staged {
    fn plan(_input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let mut below = 0;
        let mut waves = Vec::new();
        for (index, stage) in config.stages.iter().enumerate() {
            let up_to = stage.percentage.basis_points();
            let name = format!("stage {} ({})", index + 1, percent_text(up_to));
            let members = if stage.percentage == Percent::ALL {
                Members::Rest
            } else {
                Members::Share(up_to.saturating_sub(below))
            };
            waves.push(Wave::new(name, members));
            below = up_to;
        }
        Ok(WavePlan::in_order(waves))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        in_order(observation, None, |transition| gate(&transition, config))
    }
}

fn gate(transition: &WaveTransition<'_>, config: &Config) -> Gate {
    let WaveTransition { before, next, .. } = transition;
    if let Some(gate) = before.success_gate(config.success_percentage) {
        return gate;
    }
    let duration = config
        .stages
        .get(transition.from)
        .map_or(0, |stage| stage.duration_hours.milliseconds());
    match milliseconds_left(transition.now, before.opened_at, duration) {
        None => Gate::Open,
        Some(left) => Gate::Wait {
            reason: format!(
                "Wave '{}' opens in {}: '{}' lasts {}.",
                next.name,
                duration_text(left),
                before.name,
                duration_text(duration)
            ),
            opens_in: Some(left),
        },
    }
}

tidegate_plugin_sdk::export_strategy!(Staged);

#[cfg(test)]
mod tests;
