//! The strategy `phases`: groups of devices, each from a time on.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, milliseconds_left, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct Phases;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    phases: Vec<Phase>,
    /// When the devices of no phase follow; without it they are never updated.
    others_start_at: Option<Time>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    group: String,
    starts_at: Time,
}

impl Config {
    /// One start for each wave of the plan.
    fn starts(&self) -> impl Iterator<Item = Time> {
        let phases = self.phases.iter().map(|phase| phase.starts_at);
        phases.chain(self.others_start_at)
    }
}

impl Plugin for Phases {
    const NAME: &'static str = "trial/phases";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Opens groups of devices at fixed times.";
    const SCHEMA: &'static str = include_str!("../schema/phases.json");
    type Config = Config;
}

impl Strategy for Phases {
    fn plan(_input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let phases = config.phases.iter();
        let phases = phases.map(|phase| Wave::new(&phase.group, Members::group(&phase.group)));
        let others = config.others_start_at;
        let others = others.map(|_| Wave::new("others", Members::Rest));
        Ok(WavePlan {
            parallel: true,
            ..WavePlan::in_order(phases.chain(others).collect())
        })
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || {
            let now = observation.context.now;
            let waves = (0..).zip(&observation.waves).zip(config.starts());
            Ok(waves.fold(
                Decision::new(Outcome::Proceed),
                |decision, ((index, wave), start)| {
                    let Some(left) = milliseconds_left(now, Some(start.milliseconds()), 0) else {
                        return decision.with_level(index, wave.size);
                    };
                    let (name, text) = (&wave.name, duration_text(left));
                    decision
                        .with_explain(format!("Phase '{name}' starts in {text}."))
                        .with_wake_after(left)
                },
            ))
        })
    }
}
