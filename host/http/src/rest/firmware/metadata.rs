use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::firmware::{self, FirmwareDetails};
use tidegate_engine::firmware::{Checksums, FileSpec, FirmwareSpec, ModuleSpec};
use utoipa::ToSchema;

/// What the uploader says of a firmware.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct FirmwareMetadata {
    /// 1 to 200 characters. Unique with version and model. May be left out for an update image (`.swu`, `.raucb`),
    /// which says what it is called, or else is called by its file's name.
    #[serde(default)]
    name: String,
    /// `SemVer`, at most 50 characters. May be left out for an update image; where it is given, it must be the
    /// image's.
    #[serde(default)]
    version: String,
    /// Left out: what an update image says.
    #[serde(default)]
    description: String,
    /// Hardware that it is for, 1 to 100 characters; left out: the board, if it is an update image for one, else any.
    device_model: Option<String>,
    /// 1 to 100 characters.
    manufacturer: Option<String>,
    /// Left out with the highest: both as an update image lists them, if it lists plain numbers.
    min_hardware_version: Option<String>,
    max_hardware_version: Option<String>,
    /// What the only file must hash to, in hexadecimal digits.
    checksum_md5: Option<String>,
    checksum_sha1: Option<String>,
    checksum_sha256: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// What an update image says is added: `swu.hardware_compatibility`, `swu.boards`, `rauc.compatible`, ...
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    is_beta: bool,
    #[serde(default)]
    is_security_update: bool,
    #[serde(default)]
    changelog: String,
    /// How files make modules; left out: all of them make one module `os`.
    #[serde(default)]
    modules: Vec<ModuleMetadata>,
}

/// A module to be made of files.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ModuleMetadata {
    /// What devices call it: `os`, `bApp`, ...
    part: String,
    /// The firmware's when left out.
    name: Option<String>,
    /// The firmware's when left out.
    version: Option<String>,
    /// What devices are told of it, at most 50, each key once.
    #[serde(default)]
    metadata: Vec<MetadataEntry>,
    /// Whether its files are encrypted; devices are told.
    #[serde(default)]
    encrypted: bool,
    /// Those of the files that are sent that it is made of, or none; each is in one module.
    files: Vec<FileMetadata>,
}

/// Something that devices are told of a module.
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
    /// As it is sent.
    filename: String,
    /// What it must hash to, in hexadecimal digits.
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

impl From<ModuleMetadata> for ModuleSpec {
    fn from(metadata: ModuleMetadata) -> Self {
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
