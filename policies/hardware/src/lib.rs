//! The compatibility policy `hardware`: restricts a firmware to the hardware that it supports.

mod image;
mod revision;

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

use image::ImageRequirements;
use revision::Revision;

/// The policy.
#[derive(Debug)]
pub struct Hardware;

/// Config, see `schema.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Overrides the firmware's device model.
    models: Vec<String>,
    allow_unknown: bool,
    /// Ignores the requirements of the update image.
    ignore_image: bool,
}

impl Plugin for Hardware {
    const NAME: &'static str = "hardware";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Restricts a firmware to the hardware it supports.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl CompatibilityPolicy for Hardware {
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Config) -> Verdict {
        let image = image_requirements(&input.firmware, config);
        verdict(&input.firmware, &image, class, config)
    }

    fn check(input: &CheckInput, config: &Config) -> Result<Vec<Verdict>, String> {
        let image = image_requirements(&input.firmware, config);
        let verdict = |class| verdict(&input.firmware, &image, class, config);
        Ok(input.classes.iter().map(verdict).collect())
    }
}

fn image_requirements(firmware: &Firmware, config: &Config) -> ImageRequirements {
    if config.ignore_image {
        ImageRequirements::default()
    } else {
        ImageRequirements::read(firmware)
    }
}

fn verdict(
    firmware: &Firmware,
    image: &ImageRequirements,
    class: &DeviceClass,
    config: &Config,
) -> Verdict {
    let incompatibility = model(firmware, image, class, config)
        .or_else(|| revision(firmware, class))
        .or_else(|| image.incompatibility(class));
    match incompatibility {
        None => Verdict::Compatible,
        Some(Incompatibility::Unknown(_)) if config.allow_unknown => Verdict::Compatible,
        Some(Incompatibility::Unknown(reason) | Incompatibility::Mismatch(reason)) => {
            Verdict::Incompatible(reason)
        }
    }
}

/// Why a class may not get the firmware.
enum Incompatibility {
    /// Not enough is known about the hardware.
    Unknown(String),
    Mismatch(String),
}

fn model(
    firmware: &Firmware,
    image: &ImageRequirements,
    class: &DeviceClass,
    config: &Config,
) -> Option<Incompatibility> {
    let expected_models: Vec<&str> = if config.models.is_empty() {
        let declared = firmware.device_model.as_deref().or(image.model.as_deref());
        declared.into_iter().collect()
    } else {
        config.models.iter().map(String::as_str).collect()
    };
    if expected_models.is_empty() {
        return None;
    }
    let listed = expected_models.join(", ");
    match class.hardware_model.as_deref().map(str::trim) {
        None | Some("") => Some(Incompatibility::Unknown(format!(
            "The device reports no hardware model; the firmware is for {listed}."
        ))),
        Some(model) if expected_models.contains(&model) => None,
        Some(model) => Some(Incompatibility::Mismatch(format!(
            "The hardware is {model}; the firmware is for {listed}."
        ))),
    }
}

fn revision(firmware: &Firmware, class: &DeviceClass) -> Option<Incompatibility> {
    let bounds = [
        (firmware.min_hardware_version.as_deref(), "or higher", true),
        (firmware.max_hardware_version.as_deref(), "or lower", false),
    ];
    bounds.into_iter().find_map(|(bound, words, is_lowest)| {
        let bound = bound?;
        let Some(revision) = class.hardware_revision.as_deref() else {
            return Some(Incompatibility::Unknown(format!(
                "The device reports no hardware revision; the firmware needs {bound} {words}."
            )));
        };
        let reason =
            format!("The hardware revision is {revision}; the firmware needs {bound} {words}.");
        match Revision::new(revision).compare(&Revision::new(bound)) {
            None => Some(Incompatibility::Unknown(reason)),
            Some(order) if is_lowest && order.is_lt() => Some(Incompatibility::Mismatch(reason)),
            Some(order) if !is_lowest && order.is_gt() => Some(Incompatibility::Mismatch(reason)),
            Some(_) => None,
        }
    })
}

tidegate_plugin_sdk::export_compatibility_policy!(Hardware);

#[cfg(test)]
mod tests;
