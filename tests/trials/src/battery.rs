//! The strategy `battery`: charged devices first, and the others after a time in which they can charge.
//!
//! The contract cannot say that a device is to be offered the update only while its battery is above a threshold: the
//! selector of a wave is evaluated once, when the campaign starts. The missing part is `only-when` in `wit/draft`, a
//! condition that the host evaluates before each offer. Until then a strategy can only order devices by what they
//! reported, in whole percents, and wait.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, milliseconds_left, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct Battery;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    attribute: String,
    above_percent: u8,
    charging_hours: Hours,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attribute: "battery".to_owned(),
            above_percent: 30,
            charging_hours: Hours::new(12),
        }
    }
}

impl Plugin for Battery {
    const NAME: &'static str = "trial/battery";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str =
        "Updates charged devices first, the others when they had time to charge.";
    const SCHEMA: &'static str = include_str!("../schema/battery.json");
    type Config = Config;
}

impl Strategy for Battery {
    fn plan(_input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        // A list, because selectors compare attributes as text, by which 9 is above 30.
        let percents: Vec<_> = (config.above_percent + 1..=100)
            .map(|percent| percent.to_string())
            .collect();
        let charged = format!("attribute.{}=in=({})", config.attribute, percents.join(","));
        Ok(WavePlan {
            // The others do not wait for the result of the charged ones, of which there may be none.
            parallel: true,
            ..WavePlan::in_order(vec![
                Wave::new("charged", Members::Selector(charged)),
                Wave::new("others", Members::Rest),
            ])
        })
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || {
            let [charged, others] = observation.waves.as_slice() else {
                return Err("The plan has two waves.".to_owned());
            };
            let started_at = observation.context.started_at;
            let charging = config.charging_hours.milliseconds();
            let decision = Decision::levels([charged.size]);
            Ok(
                match milliseconds_left(observation.context.now, started_at, charging) {
                    None => decision.with_level(1, others.size),
                    Some(left) => decision
                        .with_explain(format!(
                            "{} devices had too little charge; they follow in {}.",
                            others.size,
                            duration_text(left)
                        ))
                        .with_wake_after(left),
                },
            )
        })
    }
}
