//! The strategy `canary`: a few devices are updated first and soak, then the rest follows in steps.

use serde::Deserialize;
use tidegate_plugin_sdk::{percent_text, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct Canary;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    canary_percentage: Percent,
    canary_duration_minutes: Minutes,
    require_approval: bool,
    /// Cumulative percentages of all devices.
    steps: Vec<Percent>,
    success_percentage: Percent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            canary_percentage: Percent::new(10),
            canary_duration_minutes: Minutes::new(60),
            require_approval: false,
            steps: vec![Percent::new(25), Percent::new(50), Percent::ALL],
            success_percentage: Percent::new(80),
        }
    }
}

impl Plugin for Canary {
    const NAME: &'static str = "canary";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Updates a few devices first, then the rest in steps.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (index, pair) in config.steps.windows(2).enumerate() {
            if pair[1] <= pair[0] {
                let message = format!(
                    "must be more than {}: percentages are cumulative",
                    percent_text(pair[0].basis_points())
                );
                errors.push(FieldError::new(format!("/steps/{}", index + 1), message));
            }
        }
        errors
    }
}

impl Strategy for Canary {
    fn plan(_input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let mut waves = vec![Wave::new("canary", members(0, config.canary_percentage))];
        let mut below = config.canary_percentage.basis_points();
        for step in &config.steps {
            if step.basis_points() > below {
                let name = format!("up to {}", percent_text(step.basis_points()));
                waves.push(Wave::new(name, members(below, *step)));
                below = step.basis_points();
            }
        }
        Ok(WavePlan::in_order(waves))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        let criteria = PromotionCriteria {
            success: config.success_percentage,
            soak_time: config.canary_duration_minutes.milliseconds(),
            requires_approval: config.require_approval,
        };
        in_order(observation, None, |transition| criteria.gate(&transition))
    }
}

/// Members from one percentage of all devices up to another.
fn members(below: u16, up_to: Percent) -> Members {
    if up_to == Percent::ALL {
        Members::Rest
    } else {
        Members::Share(up_to.basis_points() - below)
    }
}

tidegate_plugin_sdk::export_strategy!(Canary);

#[cfg(test)]
mod tests;
