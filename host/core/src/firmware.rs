//! Firmware: a named, versioned set of modules.

use std::collections::BTreeMap;

use crate::{
    id::{FirmwareId, ModuleId, TenantId},
    plugin::{FirmwareFacts, ModuleFacts},
    settings::VersionScheme,
    time::Timestamp,
    version::{is_ordered, is_pre_release, sort_key},
    visible_text::is_harmful,
};

/// A firmware with its modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Row id.
    pub id: FirmwareId,
    /// Owner.
    pub tenant: TenantId,
    /// Metadata of the firmware.
    pub details: FirmwareDetails,
    /// At least one module.
    pub modules: Vec<Module>,
    /// Time of the upload.
    pub created_at: Timestamp,
    /// Actor that uploaded it.
    pub created_by: String,
    /// Time of the deletion. Existing campaigns, updates and devices still refer to a deleted firmware.
    pub deleted_at: Option<Timestamp>,
}

/// Metadata of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareDetails {
    /// 1 to 200 characters.
    pub name: String,
    /// At most 50 characters; `SemVer` unless the tenant's settings allow others. Unique together with name and model.
    pub version: String,
    /// Free text for operators.
    pub description: String,
    /// Hardware model that it is for; `None`: any.
    pub device_model: Option<String>,
    /// 1 to 100 characters.
    pub manufacturer: Option<String>,
    /// Lowest hardware revision that it supports.
    pub min_hardware_version: Option<String>,
    /// Highest hardware revision that it supports.
    pub max_hardware_version: Option<String>,
    /// Tags for searching.
    pub tags: Vec<String>,
    /// Free key-value pairs, shown to plugins.
    pub metadata: BTreeMap<String, String>,
    /// Beta firmware is restricted to campaigns that allow it.
    pub is_beta: bool,
    /// Raises the priority of a campaign to at least high.
    pub is_security_update: bool,
    /// Free text for operators.
    pub changelog: String,
}

/// A module of a firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// DDI's software module id.
    pub id: ModuleId,
    /// DDI's `part`: `os`, `bApp`, ...
    pub part: String,
    /// Display name.
    pub name: String,
    /// Version of the module.
    pub version: String,
    /// Metadata that devices receive.
    pub metadata: Vec<ModuleMetadata>,
    /// True if the artifacts are encrypted, according to the uploader.
    pub is_encrypted: bool,
    /// Files of the module.
    pub artifacts: Vec<Artifact>,
}

/// A metadata entry that devices receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleMetadata {
    /// Unique in its module.
    pub key: String,
    /// Free text.
    pub value: String,
}

/// A file of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// File name without a path, unique in its module.
    pub filename: String,
    /// Size in bytes.
    pub size: u64,
    /// Hashes of the content.
    pub hashes: Hashes,
}

/// Hashes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the hashes")]
pub struct Hashes {
    pub sha1: [u8; 20],
    pub md5: [u8; 16],
    pub sha256: [u8; 32],
}

/// A rule that a firmware's metadata breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidDetails {
    /// Name of the field in REST.
    pub field: &'static str,
    /// The problem and the expected value.
    pub message: String,
}

impl FirmwareDetails {
    /// All rules that the metadata breaks.
    pub fn check(&self, versions: VersionScheme) -> Vec<InvalidDetails> {
        let mut errors = Vec::new();
        for (field, text, max) in [("name", &self.name, 200), ("version", &self.version, 50)] {
            if text.is_empty() {
                let message = "is required: no uploaded file provides it".to_owned();
                errors.push(InvalidDetails { field, message });
            } else {
                check_length(&mut errors, field, Some(text), max);
            }
        }
        check_length(&mut errors, "device_model", self.device_model.as_ref(), 100);
        check_length(&mut errors, "manufacturer", self.manufacturer.as_ref(), 100);
        check_length(
            &mut errors,
            "min_hardware_version",
            self.min_hardware_version.as_ref(),
            50,
        );
        check_length(
            &mut errors,
            "max_hardware_version",
            self.max_hardware_version.as_ref(),
            50,
        );
        if !self.version.is_empty()
            && let Err(message) = check_version(&self.version, versions)
        {
            errors.push(InvalidDetails {
                field: "version",
                message,
            });
        }
        if let (Some(min), Some(max)) = (&self.min_hardware_version, &self.max_hardware_version)
            && sort_key(min) > sort_key(max)
        {
            let message = format!("must not be below min_hardware_version ({min})");
            errors.push(InvalidDetails {
                field: "max_hardware_version",
                message,
            });
        }
        errors
    }

    /// True unless it is a beta or a pre-release such as `2.0.0-rc.1`, or its version has no order.
    pub fn is_release(&self) -> bool {
        !self.is_beta && is_ordered(&self.version) && !is_pre_release(&self.version)
    }
}

impl Firmware {
    /// The firmware as plugins see it.
    pub fn facts(&self) -> FirmwareFacts {
        let details = &self.details;
        let modules: Vec<_> = self.modules.iter().map(Module::facts).collect();
        FirmwareFacts {
            name: details.name.clone(),
            version: details.version.clone(),
            device_model: details.device_model.clone(),
            manufacturer: details.manufacturer.clone(),
            min_hardware_version: details.min_hardware_version.clone(),
            max_hardware_version: details.max_hardware_version.clone(),
            beta: details.is_beta,
            security_update: details.is_security_update,
            tags: details.tags.clone(),
            metadata: details
                .metadata
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            size: modules.iter().map(|module| module.size).sum(),
            modules,
        }
    }
}

impl Module {
    fn facts(&self) -> ModuleFacts {
        ModuleFacts {
            part: self.part.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            size: self.artifacts.iter().map(|artifact| artifact.size).sum(),
        }
    }
}

fn check_version(version: &str, versions: VersionScheme) -> Result<(), String> {
    match versions {
        VersionScheme::Semver => semver::Version::parse(version)
            .map(drop)
            .map_err(|error| format!("must be SemVer, such as 1.4.0: {error}")),
        VersionScheme::Loose if version.contains(is_harmful) => {
            Err("must have no control or bidirectional characters".to_owned())
        }
        VersionScheme::Loose => Ok(()),
    }
}

fn check_length(
    errors: &mut Vec<InvalidDetails>,
    field: &'static str,
    text: Option<&String>,
    max: usize,
) {
    if let Some(text) = text
        && !(1..=max).contains(&text.chars().count())
    {
        errors.push(InvalidDetails {
            field,
            message: format!("must have 1 to {max} characters"),
        });
    }
}

/// Suffix of a file's name under which devices get the file's MD5 checksum.
pub const CHECKSUM_SUFFIX: &str = ".MD5SUM";

/// True if this is the name under which devices get the checksum of the other file, so that they could not get both.
pub fn is_checksum_of(name: &str, other: &str) -> bool {
    name.strip_suffix(CHECKSUM_SUFFIX) == Some(other)
}

/// True for a valid file name: 1 to 255 bytes, no path, no control or bidirectional characters.
pub fn is_filename(text: &str) -> bool {
    let safe = !text
        .chars()
        .any(|c| matches!(c, '/' | '\\') || is_harmful(c));
    (1..=255).contains(&text.len()) && safe && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_reported_once() {
        let errors = FirmwareDetails::default().check(VersionScheme::Semver);
        let errors: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        let expected_error = |field| format!("{field}: is required: no uploaded file provides it");
        assert_eq!(errors, [expected_error("name"), expected_error("version")]);
    }

    #[test]
    fn every_broken_rule_is_named() {
        let details = FirmwareDetails {
            name: String::new(),
            version: "one".into(),
            device_model: Some("x".repeat(101)),
            min_hardware_version: Some("2.0".into()),
            max_hardware_version: Some("1.10".into()),
            ..FirmwareDetails::default()
        };
        let fields: Vec<_> = details
            .check(VersionScheme::Semver)
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(
            fields,
            ["name", "device_model", "version", "max_hardware_version"]
        );
        let good = FirmwareDetails {
            name: "edge".into(),
            version: "1.0.0".into(),
            ..FirmwareDetails::default()
        };
        assert_eq!(good.check(VersionScheme::Semver), []);
    }

    #[test]
    fn a_loose_version_is_any_text_without_control_characters() {
        let long = "x".repeat(51);
        for (version, is_valid) in [
            ("2026.05-1ubuntu2~rc", true),
            ("rev B", true),
            ("1.2.3.4", true),
            ("版本七", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("1.0\n", false),
            ("1\u{85}", false),
            ("1\u{202e}0", false),
        ] {
            let details = FirmwareDetails {
                name: "edge".into(),
                version: version.into(),
                ..FirmwareDetails::default()
            };
            let errors = details.check(VersionScheme::Loose);
            let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
            let expected = if is_valid { vec![] } else { vec!["version"] };
            assert_eq!(fields, expected, "{version}");
        }
    }

    #[test]
    fn a_release_is_no_beta_and_no_pre_release() {
        for (version, is_beta, expected) in [
            ("1.0.0", false, true),
            ("1.0.0+b-7", false, true),
            ("1.0.0", true, false),
            ("1.0.0-rc.1", false, false),
            ("2026.05", false, true),
            ("2026.05-1", false, false),
            ("1.0.20261129101500", false, false),
            ("one", false, false),
        ] {
            let details = FirmwareDetails {
                version: version.into(),
                is_beta,
                ..FirmwareDetails::default()
            };
            assert_eq!(details.is_release(), expected, "{version}");
        }
    }
}
