//! The strategy `follow-the-sun`: devices are updated at night, by the local time of the zone that they report.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, prelude::*};

const DAY: u64 = 86_400_000;

/// The strategy.
#[derive(Debug)]
pub struct FollowTheSun;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The attribute by which devices report their zone.
    #[serde(default = "default_attribute")]
    attribute: String,
    zones: Vec<String>,
    from_hour: Hours,
    until_hour: Hours,
}

fn default_attribute() -> String {
    "timezone".to_owned()
}

impl Config {
    /// Milliseconds until the window opens or closes, whichever is next, and whether it is open.
    fn window(&self, time_of_day: u64) -> (bool, u64) {
        let until = |hour: Hours| (hour.milliseconds() + DAY - time_of_day - 1) % DAY + 1;
        let (opens_in, closes_in) = (until(self.from_hour), until(self.until_hour));
        (closes_in < opens_in, opens_in.min(closes_in))
    }
}

impl Plugin for FollowTheSun {
    const NAME: &'static str = "trial/follow-the-sun";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Updates devices at night, by their local time.";
    const SCHEMA: &'static str = include_str!("../schema/follow-the-sun.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let is_empty = config.from_hour == config.until_hour;
        let error = || FieldError::new("/until_hour", "must differ from `from_hour`");
        is_empty.then(error).into_iter().collect()
    }

    fn wants(config: &Config) -> Interests {
        Interests::none()
            .with_attributes([&config.attribute])
            .with_zones(config.zones.iter().map(String::as_str))
    }
}

impl Strategy for FollowTheSun {
    fn plan(input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        for class in &input.census.classes {
            let mut attributes = class.attributes.iter();
            let zone = attributes.find(|attribute| attribute.key == config.attribute);
            if let Some(zone) = zone.filter(|zone| !config.zones.contains(&zone.value)) {
                return Err(format!(
                    "{} devices are in the zone '{}': add it to `zones`.",
                    class.devices, zone.value
                ));
            }
        }
        let zones = config.zones.iter();
        let waves = zones.map(|zone| Wave::new(zone, Members::attribute(&config.attribute, zone)));
        Ok(WavePlan {
            parallel: true,
            ..WavePlan::in_order(waves.collect())
        })
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits(observation, None, || {
            let context = &observation.context;
            let mut decision = Decision::new(Outcome::Proceed);
            for ((index, wave), name) in (0..).zip(&observation.waves).zip(&config.zones) {
                let zone = context.zone(name);
                let zone = zone.ok_or_else(|| format!("There is no time zone '{name}'."))?;
                let (is_open, changes_in) = config.window(zone.time_of_day(context.now));
                if is_open {
                    decision = decision.with_level(index, wave.size);
                } else if wave.released < wave.size {
                    let left = duration_text(changes_in);
                    decision = decision.with_explain(format!("Night in {name} begins in {left}."));
                }
                let clock_change = zone.next_change_at.map(|at| at.saturating_sub(context.now));
                decision = decision
                    .with_wake_after(changes_in)
                    .with_wake_after(clock_change);
            }
            Ok(decision)
        })
    }
}
