//! The strategy `blue-green`: one group is updated first and soaks, then the other follows all at once.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The strategy.
#[derive(Debug)]
pub struct BlueGreen;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    green_group: Vec<String>,
    #[serde(default)]
    blue_group: Vec<String>,
    #[serde(default = "default_soak_minutes")]
    soak_minutes: Minutes,
    #[serde(default = "default_require_approval")]
    require_approval: bool,
    #[serde(default = "default_success_percentage")]
    success_percentage: Percent,
}

const fn default_soak_minutes() -> Minutes {
    Minutes::new(60)
}

const fn default_require_approval() -> bool {
    true
}

const fn default_success_percentage() -> Percent {
    Percent::new(80)
}

impl Plugin for BlueGreen {
    const NAME: &'static str = "blue-green";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Updates one group first, then the other all at once.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let in_both = |name: &String| config.green_group.contains(name);
        let blue = config.blue_group.iter().enumerate();
        blue.filter(|(_, name)| in_both(name))
            .map(|(index, name)| {
                FieldError::new(
                    format!("/blue_group/{index}"),
                    format!("`{name}` is also a green group"),
                )
            })
            .collect()
    }
}

impl Strategy for BlueGreen {
    fn plan(input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let mut waves = vec![group_wave("green", &config.green_group, input)?];
        if config.blue_group.is_empty() {
            waves.push(Wave::new("blue", Members::Rest));
        } else {
            waves.push(group_wave("blue", &config.blue_group, input)?);
            waves.push(Wave::new("others", Members::Rest));
        }
        Ok(WavePlan::in_order(waves))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        let criteria = PromotionCriteria {
            success: config.success_percentage,
            soak_time: config.soak_minutes.milliseconds(),
            requires_approval: config.require_approval,
        };
        in_order(observation, None, |transition| criteria.gate(&transition))
    }
}

/// A wave of the devices in these groups. Fails without any device: a misspelt group name must not skip the wave.
fn group_wave(colour: &str, names: &[String], input: &PlanInput) -> Result<Wave, String> {
    let groups = input.census.groups.iter();
    let devices: u64 = groups
        .filter(|group| names.contains(&group.name))
        .map(|group| group.devices)
        .sum();
    if devices == 0 {
        return Err(format!(
            "no device of the campaign is in a {colour} group ({})",
            names.join(", ")
        ));
    }
    Ok(Wave::new(colour, Members::Selector(selector(names))))
}

/// RSQL selector of the devices in any of these groups.
fn selector(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    match &quoted[..] {
        [name] => format!("group=={name}"),
        names => format!("group=in=({})", names.join(",")),
    }
}

/// Quotes a group name, which may contain RSQL syntax.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

tidegate_plugin_sdk::export_strategy!(BlueGreen);

#[cfg(test)]
mod tests;
