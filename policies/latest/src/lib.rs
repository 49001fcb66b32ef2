//! The compatibility policy `latest`: allows a firmware on devices with matching hardware and an older version.
//!
//! Hardware requirements of update images are checked by the policy `hardware`.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;
use tidegate_version::{is_ordered, is_pre_release, sort_key};

/// The policy.
#[derive(Debug)]
pub struct Latest;

/// Config, see `schema.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    allow_beta: bool,
    allow_unknown: bool,
}

impl Plugin for Latest {
    const NAME: &'static str = "latest";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Offers devices in mode latest newer releases for their hardware.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl CompatibilityPolicy for Latest {
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Config) -> Verdict {
        let firmware = &input.firmware;
        let offered = firmware.version.trim();
        if !is_ordered(offered) {
            return Verdict::incompatible(format!(
                "The firmware's version {offered} has no order, such as 1.2.3 or 2026.05 has."
            ));
        }
        if !config.allow_beta && (firmware.beta || is_pre_release(offered)) {
            return Verdict::incompatible("The firmware is a beta.");
        }
        match (firmware.device_model.as_deref(), model(class)) {
            (None, _) if is_named_by_image(firmware) => check_version(offered, class, config),
            (None, _) => Verdict::incompatible("The firmware names no hardware."),
            (Some(_), None) => Verdict::incompatible("The device reports no hardware model."),
            (Some(required), Some(model)) if required != model => Verdict::incompatible(format!(
                "The hardware is {model}; the firmware is for {required}."
            )),
            _ => check_version(offered, class, config),
        }
    }
}

/// True if the metadata of an update image names the supported hardware.
fn is_named_by_image(firmware: &Firmware) -> bool {
    let declares = |key, empty_value: &str| {
        let mut metadata = firmware.metadata.iter();
        metadata.any(|entry| entry.key == key && !["", empty_value].contains(&entry.value.trim()))
    };
    declares("swu.hardware_compatibility", "[]")
        || declares("swu.boards", "{}")
        || declares("rauc.compatible", "")
}

fn model(class: &DeviceClass) -> Option<&str> {
    let model = class.hardware_model.as_deref().map(str::trim);
    model.filter(|model| !model.is_empty())
}

/// Compatible if the offered version is newer than the installed one, in the order of the server.
fn check_version(offered: &str, class: &DeviceClass, config: &Config) -> Verdict {
    let installed = class.version.as_deref().map(str::trim).unwrap_or_default();
    if !is_ordered(installed) {
        return if config.allow_unknown {
            Verdict::Compatible
        } else if installed.is_empty() {
            Verdict::incompatible("The device reports no version.")
        } else {
            Verdict::incompatible(format!(
                "The installed version {installed} has no order, such as 1.2.3 or 2026.05 has."
            ))
        };
    }
    if sort_key(offered) > sort_key(installed) {
        Verdict::Compatible
    } else {
        Verdict::incompatible(format!(
            "{installed} is installed, and {offered} is not newer."
        ))
    }
}

tidegate_plugin_sdk::export_compatibility_policy!(Latest);

#[cfg(test)]
mod tests;
