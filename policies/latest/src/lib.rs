//! The compatibility policy `latest`: a firmware is for devices whose hardware it names and that are behind it.
//!
//! Whether the hardware that an update image names is theirs, the policy `hardware` decides.

use semver::Version;
use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The policy.
#[derive(Debug)]
pub struct Latest;

/// Its config; `schema.json` describes it.
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
        "Lets a device in mode latest onto a newer release for its hardware.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl CompatibilityPolicy for Latest {
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Config) -> Verdict {
        let firmware = &input.firmware;
        let Some(offered) = parse(&firmware.version) else {
            let version = &firmware.version;
            return Verdict::incompatible(format!(
                "Its version {version} is no version such as 1.2.3."
            ));
        };
        if !config.allow_beta && (firmware.beta || !offered.pre.is_empty()) {
            return Verdict::incompatible("It is a beta.");
        }
        match (firmware.device_model.as_deref(), model(class)) {
            (None, _) if is_named_by_image(firmware) => check_version(&offered, class, config),
            (None, _) => Verdict::incompatible("It does not say which hardware it is for."),
            (Some(_), None) => Verdict::incompatible("The device does not say its hardware model."),
            (Some(wanted), Some(model)) if wanted != model => {
                Verdict::incompatible(format!("It is for {wanted}; the device is a {model}."))
            }
            _ => check_version(&offered, class, config),
        }
    }
}

/// Whether an update image said which hardware it is for, as the host keeps it in the firmware's metadata.
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

/// Compatible, if the class is behind the offered version.
fn check_version(offered: &Version, class: &DeviceClass, config: &Config) -> Verdict {
    let reported = class.version.as_deref().map(str::trim).unwrap_or_default();
    match parse(reported) {
        Some(installed) if offered.cmp_precedence(&installed).is_gt() => Verdict::Compatible,
        Some(installed) => Verdict::incompatible(format!(
            "The device is on {installed}, and {offered} is not newer."
        )),
        None if config.allow_unknown => Verdict::Compatible,
        None if reported.is_empty() => {
            Verdict::incompatible("The device does not say which version it is on.")
        }
        None => Verdict::incompatible(format!(
            "The device is on {reported}, which is no version such as 1.2.3."
        )),
    }
}

/// `SemVer`, with a leading `v` or without.
fn parse(text: &str) -> Option<Version> {
    let text = text.trim();
    Version::parse(text.strip_prefix(['v', 'V']).unwrap_or(text)).ok()
}

tidegate_plugin_sdk::export_compatibility_policy!(Latest);

#[cfg(test)]
mod tests;
