use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::firmware::{Artifact, Firmware, Module};
use tidegate_engine::firmware::files;
use utoipa::ToSchema;

use super::metadata::MetadataEntry;
use crate::rest::response::Time;

/// A firmware with its modules.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Firmware)]
pub(crate) struct FirmwareBody {
    firmware_id: i64,
    name: String,
    version: String,
    description: String,
    device_model: Option<String>,
    manufacturer: Option<String>,
    min_hardware_version: Option<String>,
    max_hardware_version: Option<String>,
    /// Size of all files in bytes.
    file_size: u64,
    /// URL of the file; with several files, `?file=` selects one.
    file_url: String,
    /// Null if there are several files.
    checksum_md5: Option<String>,
    /// Null if there are several files.
    checksum_sha1: Option<String>,
    /// Null if there are several files.
    checksum_sha256: Option<String>,
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
    is_beta: bool,
    is_security_update: bool,
    changelog: String,
    modules: Vec<ModuleBody>,
    created_at: Time,
    created_by: String,
}

/// A part of a firmware.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Module)]
pub(crate) struct ModuleBody {
    module_id: i64,
    /// The module type known to devices: `os`, `bApp`, ...
    part: String,
    name: String,
    version: String,
    /// Sent to devices with the module.
    metadata: Vec<MetadataEntry>,
    encrypted: bool,
    artifacts: Vec<FirmwareFileBody>,
}

/// A file of a module.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Artifact)]
pub(crate) struct FirmwareFileBody {
    filename: String,
    /// Bytes.
    size: u64,
    hashes: HashesBody,
}

/// In hexadecimal digits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hashes)]
pub(crate) struct HashesBody {
    md5: String,
    sha1: String,
    sha256: String,
}

impl From<Firmware> for FirmwareBody {
    fn from(firmware: Firmware) -> Self {
        let file_size = files(&firmware).map(|file| file.size).sum();
        let hashes: Vec<_> = files(&firmware).map(|file| file.hashes).collect();
        let only = match hashes[..] {
            [only] => Some(only),
            _ => None,
        };
        let details = firmware.details;
        Self {
            firmware_id: firmware.id.0,
            name: details.name,
            version: details.version,
            description: details.description,
            device_model: details.device_model,
            manufacturer: details.manufacturer,
            min_hardware_version: details.min_hardware_version,
            max_hardware_version: details.max_hardware_version,
            file_size,
            file_url: format!("/api/v1/firmware/{}/download", firmware.id),
            checksum_md5: only.map(|hashes| hex::encode(hashes.md5)),
            checksum_sha1: only.map(|hashes| hex::encode(hashes.sha1)),
            checksum_sha256: only.map(|hashes| hex::encode(hashes.sha256)),
            tags: details.tags,
            metadata: details.metadata,
            is_beta: details.is_beta,
            is_security_update: details.is_security_update,
            changelog: details.changelog,
            modules: firmware.modules.into_iter().map(ModuleBody::from).collect(),
            created_at: firmware.created_at.into(),
            created_by: firmware.created_by,
        }
    }
}

impl From<Module> for ModuleBody {
    fn from(module: Module) -> Self {
        Self {
            module_id: module.id.0,
            part: module.part,
            name: module.name,
            version: module.version,
            metadata: module.metadata.into_iter().map(Into::into).collect(),
            encrypted: module.is_encrypted,
            artifacts: module
                .artifacts
                .into_iter()
                .map(FirmwareFileBody::from)
                .collect(),
        }
    }
}

impl From<Artifact> for FirmwareFileBody {
    fn from(file: Artifact) -> Self {
        Self {
            filename: file.filename,
            size: file.size,
            hashes: HashesBody {
                md5: hex::encode(file.hashes.md5),
                sha1: hex::encode(file.hashes.sha1),
                sha256: hex::encode(file.hashes.sha256),
            },
        }
    }
}
