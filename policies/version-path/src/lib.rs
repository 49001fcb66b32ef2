//! The compatibility policy `version-path`: prevents downgrades and enforces intermediate versions.

mod version;

use semver::Version;
use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;
use tidegate_version::{is_ordered, sort_key};

use version::Range;

/// The policy.
#[derive(Debug)]
pub struct VersionPath;

/// Config, see `schema.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    allow_downgrade: bool,
    intermediate: Vec<IntermediateStep>,
    /// `None`: decided by [`check_unknown_version`].
    allow_unknown: Option<bool>,
}

/// An intermediate version that must be installed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateStep {
    from: String,
    to: String,
    via: String,
}

impl Plugin for VersionPath {
    const NAME: &'static str = "version-path";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps devices on the upgrade paths that a firmware supports.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (index, step) in config.intermediate.iter().enumerate() {
            let mut refuse = |field: &str, message: &str| {
                errors.push(FieldError::new(
                    format!("/intermediate/{index}/{field}"),
                    message,
                ));
            };
            let from = Range::new(&step.from);
            if from.is_none() {
                refuse("from", "must be a range of versions, such as `<2.0.0`");
            }
            if Range::new(&step.to).is_none() {
                refuse("to", "must be a range of versions, such as `>=3.0.0`");
            }
            match version::parse(&step.via) {
                None => refuse("via", "must be a version, such as `2.5.0`"),
                Some(via) if from.is_some_and(|from| from.contains(&via)) => {
                    refuse(
                        "via",
                        "must be outside `from`: a device on it would have to install it again",
                    );
                }
                Some(_) => {}
            }
        }
        errors
    }
}

impl CompatibilityPolicy for VersionPath {
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Config) -> Verdict {
        let (target, steps) = (input.firmware.version.trim(), &config.intermediate);
        // Ranges of intermediate versions are those of SemVer; without them the order is sufficient.
        let is_readable = |text: &str| match steps[..] {
            [] => is_ordered(text),
            _ => version::parse(text).is_some(),
        };
        if !is_readable(target) {
            return check_unreadable_version("The firmware's version", target, config);
        }
        let reported = class.version.as_deref().map(str::trim).unwrap_or_default();
        if reported.is_empty() {
            return check_unknown_version(target, config);
        }
        if !is_readable(reported) {
            return check_unreadable_version("The installed version", reported, config);
        }
        if !config.allow_downgrade && sort_key(target) < sort_key(reported) {
            let (installed, target) = (version::shown(reported), version::shown(target));
            return Verdict::incompatible(format!(
                "{installed} is installed; a downgrade to {target} is not allowed."
            ));
        }
        let versions = version::parse(reported).zip(version::parse(target));
        let Some((installed, target)) = versions else {
            return Verdict::Compatible;
        };
        match required_intermediate(&installed, &target, config) {
            None => Verdict::Compatible,
            Some(via) => Verdict::needs(
                via.to_string(),
                format!("An update from {installed} to {target} must go through {via}."),
            ),
        }
    }
}

/// The intermediate version to install first, if any. Devices on `via`, and a firmware of that version, need none.
fn required_intermediate(
    installed: &Version,
    target: &Version,
    config: &Config,
) -> Option<Version> {
    config.intermediate.iter().find_map(|step| {
        let via = version::parse(&step.via)?;
        let skips = Range::new(&step.from)?.contains(installed)
            && Range::new(&step.to)?.contains(target)
            && installed.cmp_precedence(&via).is_lt()
            && target.cmp_precedence(&via).is_ne();
        skips.then_some(via)
    })
}

/// By default a device that reports no version is allowed: most often it is new, and some fleets never report one. It
/// is excluded where an intermediate version leads to the firmware, since the device might skip it.
fn check_unknown_version(target: &str, config: &Config) -> Verdict {
    let (target, steps) = (version::parse(target), &config.intermediate);
    let applies = |step: &IntermediateStep| {
        let range = Range::new(&step.to).zip(target.as_ref());
        range.is_some_and(|(to, target)| to.contains(target))
    };
    let allowed = config
        .allow_unknown
        .unwrap_or_else(|| !steps.iter().any(applies));
    if allowed {
        Verdict::Compatible
    } else {
        Verdict::incompatible("The device reports no version.")
    }
}

fn check_unreadable_version(what: &str, version: &str, config: &Config) -> Verdict {
    if config.allow_unknown == Some(true) {
        Verdict::Compatible
    } else {
        Verdict::incompatible(format!(
            "{what} `{version}` is not a version such as 1.2.3."
        ))
    }
}

tidegate_plugin_sdk::export_compatibility_policy!(VersionPath);

#[cfg(test)]
mod tests;
