use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::{
    firmware::{self, FirmwareDetails},
    plugin::FieldError,
    settings::VersionScheme,
};
use tidegate_engine::{
    firmware::{Checksums, FileSpec, FirmwareSpec, ModuleSpec},
    tenants,
};
use utoipa::ToSchema;

use crate::{
    field_names::to_request_fields,
    problem::Result,
    rest::rules::{BodyRules, RuleContext},
};

/// The uploader's description of a firmware.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewFirmware)]
pub(super) struct FirmwareMetadata {
    /// 1 to 200 characters. Unique with version and model. May be left out for an update image (`.swu`, `.raucb`): the
    /// default is the name in its description, or its file name.
    #[serde(default)]
    name: String,
    /// 1 to 50 characters; `SemVer` unless `versions` in the tenant's settings is `loose`. May be left out for an update
    /// image: the default is the version in its description.
    #[serde(default)]
    version: String,
    /// The update image's description when left out.
    #[serde(default)]
    description: String,
    /// The hardware model that it is for, 1 to 100 characters. When left out: the update image's board, or any model.
    device_model: Option<String>,
    /// 1 to 100 characters.
    manufacturer: Option<String>,
    /// When this and the maximum are left out, both are taken from the update image, if it lists plain numbers.
    min_hardware_version: Option<String>,
    max_hardware_version: Option<String>,
    /// Expected checksums of the only file, in hexadecimal digits.
    checksum_md5: Option<String>,
    checksum_sha1: Option<String>,
    checksum_sha256: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// Metadata of the update image is added: `swu.hardware_compatibility`, `swu.boards`, `rauc.compatible`, ...
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    is_beta: bool,
    #[serde(default)]
    is_security_update: bool,
    #[serde(default)]
    changelog: String,
    /// Assigns files to modules; when left out, all files make up one module `os`.
    #[serde(default)]
    modules: Vec<NewModuleBody>,
}

/// A module of a firmware to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ModuleMetadata)]
pub(super) struct NewModuleBody {
    /// The module type known to devices: `os`, `bApp`, ...
    part: String,
    /// The firmware's when left out.
    name: Option<String>,
    /// The firmware's when left out.
    version: Option<String>,
    /// Sent to devices with the module; at most 50 entries with unique keys.
    #[serde(default)]
    metadata: Vec<MetadataEntry>,
    /// Whether its files are encrypted. Sent to devices.
    #[serde(default)]
    encrypted: bool,
    /// The uploaded files that belong to the module; none for content that devices fetch elsewhere. A file belongs to one
    /// module only.
    #[serde(default)]
    files: Vec<FileMetadata>,
}

/// An entry of a module's metadata, sent to devices.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct MetadataEntry {
    /// 1 to 128 characters.
    key: String,
    /// At most 4000 characters.
    value: String,
}

/// A file of a module.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct FileMetadata {
    /// The file name of its part of the upload, unique in its module. If modules share a name, the parts of this name go to
    /// them in order, except where checksums say otherwise.
    filename: String,
    /// Expected checksums, in hexadecimal digits.
    md5: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
}

impl From<FirmwareMetadata> for FirmwareSpec {
    fn from(metadata: FirmwareMetadata) -> Self {
        let details = FirmwareDetails {
            name: metadata.name,
            version: metadata.version,
            description: metadata.description,
            device_model: metadata.device_model,
            manufacturer: metadata.manufacturer,
            min_hardware_version: metadata.min_hardware_version,
            max_hardware_version: metadata.max_hardware_version,
            tags: metadata.tags,
            metadata: metadata.metadata,
            is_beta: metadata.is_beta,
            is_security_update: metadata.is_security_update,
            changelog: metadata.changelog,
        };
        let checksums = Checksums {
            md5: metadata.checksum_md5,
            sha1: metadata.checksum_sha1,
            sha256: metadata.checksum_sha256,
        };
        let modules = metadata.modules.into_iter().map(ModuleSpec::from).collect();
        Self {
            details,
            checksums,
            modules,
        }
    }
}

impl From<NewModuleBody> for ModuleSpec {
    fn from(metadata: NewModuleBody) -> Self {
        let contents = |file: FileMetadata| FileSpec {
            filename: file.filename,
            checksums: Checksums {
                md5: file.md5,
                sha1: file.sha1,
                sha256: file.sha256,
            },
        };
        Self {
            part: metadata.part,
            name: metadata.name,
            version: metadata.version,
            metadata: metadata.metadata.into_iter().map(Into::into).collect(),
            is_encrypted: metadata.encrypted,
            files: metadata.files.into_iter().map(contents).collect(),
        }
    }
}

impl From<MetadataEntry> for firmware::ModuleMetadata {
    fn from(MetadataEntry { key, value }: MetadataEntry) -> Self {
        Self { key, value }
    }
}

impl From<firmware::ModuleMetadata> for MetadataEntry {
    fn from(entry: firmware::ModuleMetadata) -> Self {
        Self {
            key: entry.key,
            value: entry.value,
        }
    }
}

impl BodyRules for FirmwareMetadata {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let versions = match context.ctx {
            Some(ctx) => {
                tenants::settings(ctx, context.engine.store())
                    .await?
                    .versions
            }
            None => VersionScheme::default(),
        };
        Ok(to_request_fields(
            FirmwareSpec::from(self).validate(versions),
        ))
    }
}
