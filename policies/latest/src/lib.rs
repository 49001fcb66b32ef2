//! The compatibility policy `latest`: allows a firmware on devices with matching hardware and an older version.
//!
//! Hardware requirements of update images are checked by the policy `hardware`.

use semver::Version;
use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

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
        let Some(offered) = parse(&firmware.version) else {
            let version = &firmware.version;
            return Verdict::incompatible(format!(
                "The firmware's version {version} is not SemVer, such as 1.2.3."
            ));
        };
        if !config.allow_beta && (firmware.beta || !offered.pre.is_empty()) {
            return Verdict::incompatible("The firmware is a beta.");
        }
        match (firmware.device_model.as_deref(), model(class)) {
            (None, _) if is_named_by_image(firmware) => check_version(&offered, class, config),
            (None, _) => Verdict::incompatible("The firmware names no hardware."),
            (Some(_), None) => Verdict::incompatible("The device reports no hardware model."),
            (Some(wanted), Some(model)) if wanted != model => Verdict::incompatible(format!(
                "The hardware is {model}; the firmware is for {wanted}."
            )),
            _ => check_version(&offered, class, config),
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

/// Compatible if the offered version is newer than the installed one.
fn check_version(offered: &Version, class: &DeviceClass, config: &Config) -> Verdict {
    let reported = class.version.as_deref().map(str::trim).unwrap_or_default();
    match parse(reported) {
        Some(installed) if offered.cmp_precedence(&installed).is_gt() => Verdict::Compatible,
        Some(installed) => Verdict::incompatible(format!(
            "{installed} is installed, and {offered} is not newer."
        )),
        None if config.allow_unknown => Verdict::Compatible,
        None if reported.is_empty() => Verdict::incompatible("The device reports no version."),
        None => Verdict::incompatible(format!(
            "The installed version {reported} is not SemVer, such as 1.2.3."
        )),
    }
}

/// Parses `SemVer` with or without a leading `v`.
fn parse(text: &str) -> Option<Version> {
    let text = text.trim();
    Version::parse(text.strip_prefix(['v', 'V']).unwrap_or(text)).ok()
}

tidegate_plugin_sdk::export_compatibility_policy!(Latest);

#[cfg(test)]
mod tests;
