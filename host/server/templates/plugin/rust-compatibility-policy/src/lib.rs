//! The compatibility policy `{{name}}`: restricts beta firmware to devices of certain sites.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The policy. A plugin keeps nothing between calls, so the type is empty.
pub struct BetaSites;

/// The config, see `schema.json`.
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    sites: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sites: vec!["lab".to_owned()],
        }
    }
}

impl Plugin for BetaSites {
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Restricts beta firmware to devices of certain sites.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    // Devices with another site are of another class.
    fn wants(_config: &Config) -> Interests {
        Interests::none().with_attributes(["site"])
    }
}

impl CompatibilityPolicy for BetaSites {
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Config) -> Verdict {
        let site = class.attributes.iter().find(|a| a.key == "site");
        if !input.firmware.beta || site.is_some_and(|site| config.sites.contains(&site.value)) {
            return Verdict::Compatible;
        }
        Verdict::incompatible(format!(
            "Beta firmware is for devices of these sites: {}.",
            config.sites.join(", ")
        ))
    }
}

tidegate_plugin_sdk::export_compatibility_policy!(BetaSites);

#[cfg(test)]
mod tests;
