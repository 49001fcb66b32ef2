use async_trait::async_trait;
use tidegate_core::{
    firmware::{Artifact, Firmware, FirmwareDetails, ModuleMetadata},
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
};

use crate::Ctx;

use super::{Page, PageRequest, StoreError};

/// Firmware and its modules.
#[async_trait]
pub trait Firmwares: Send + Sync {
    /// Stores a firmware. The same name, version and model again is a conflict.
    async fn create_firmware(
        &self,
        ctx: &Ctx,
        firmware: NewFirmware,
    ) -> Result<FirmwareId, StoreError>;

    /// The firmware of this id, including deleted ones: campaigns and devices may still refer to them.
    async fn firmware(
        &self,
        tenant: TenantId,
        id: FirmwareId,
    ) -> Result<Option<Firmware>, StoreError>;

    /// Whether a campaign, an update or a device refers to this firmware or did so before. May scan all updates,
    /// therefore called for deleted firmware only.
    async fn firmware_is_used(&self, tenant: TenantId, id: FirmwareId) -> Result<bool, StoreError>;

    /// The firmware that a device of this model may have had before: by name and version, for the model or else for no
    /// particular model; the newest of several. Without a model only firmware for no particular model matches.
    async fn firmware_of_version(
        &self,
        tenant: TenantId,
        name: &str,
        version: &str,
        model: Option<&str>,
    ) -> Result<Option<FirmwareId>, StoreError>;

    /// A page of the firmware that is not deleted, newest first.
    async fn list_firmware(
        &self,
        tenant: TenantId,
        filter: &FirmwareFilter,
        page: PageRequest,
    ) -> Result<Page<Firmware>, StoreError>;

    /// Releases that may be for a model, as their metadata or their images say: highest version first, newest first
    /// among equal versions. The cost does not depend on firmware for other models.
    async fn candidates(
        &self,
        tenant: TenantId,
        filter: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError>;

    /// What [`Firmwares::candidates`] leaves out for reasons other than the model: betas and pre-releases that may be
    /// for the model, and firmware that names no hardware. In the same order.
    async fn excluded_candidates(
        &self,
        tenant: TenantId,
        filter: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError>;

    /// Hides a firmware from lists and new campaigns. False: it does not exist. A campaign that uses it and has not
    /// ended is a conflict.
    async fn delete_firmware(
        &self,
        ctx: &Ctx,
        id: FirmwareId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The firmware that a module belongs to.
    async fn firmware_of_module(
        &self,
        tenant: TenantId,
        module: ModuleId,
    ) -> Result<Option<Firmware>, StoreError>;
}

/// Which candidates for a model to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CandidateFilter {
    /// Model as devices report it.
    pub model: String,
    /// Only this version and higher ones, in the form of [`tidegate_core::version::sort_key`]; `None`: all.
    pub at_least: Option<String>,
    /// Only candidates after this version key and id.
    pub after: Option<(String, FirmwareId)>,
    /// Maximum number of candidates.
    pub limit: u32,
}

/// A firmware to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFirmware {
    /// Validated by the caller.
    pub details: FirmwareDetails,
    /// At least one.
    pub modules: Vec<NewModule>,
    /// Name of the user.
    pub created_by: String,
    /// Creation time.
    pub created_at: Timestamp,
}

/// A module to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the module's field of that name")]
pub struct NewModule {
    pub part: String,
    pub name: String,
    pub version: String,
    pub metadata: Vec<ModuleMetadata>,
    pub is_encrypted: bool,
    pub artifacts: Vec<Artifact>,
}

/// Which firmware to list. All filters that are set must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "each field is the firmware's field of that name"
)]
pub struct FirmwareFilter {
    pub device_model: Option<String>,
    pub manufacturer: Option<String>,
    pub version: Option<String>,
    pub tag: Option<String>,
    pub is_beta: Option<bool>,
    pub is_security_update: Option<bool>,
}
