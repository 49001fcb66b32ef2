use async_trait::async_trait;
use tidegate_core::{
    firmware::{Artifact, Firmware, FirmwareDetails, ModuleMetadata},
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
};

use super::{Page, PageRequest, StoreError};

/// Firmware and its modules.
#[async_trait]
pub trait Firmwares: Send + Sync {
    /// Stores a firmware. The same name, version and model again is a conflict.
    async fn create_firmware(
        &self,
        tenant: TenantId,
        firmware: NewFirmware,
    ) -> Result<FirmwareId, StoreError>;

    /// The firmware of this id, deleted or not: campaigns and devices may still refer to it.
    async fn firmware(
        &self,
        tenant: TenantId,
        id: FirmwareId,
    ) -> Result<Option<Firmware>, StoreError>;

    /// Whether a campaign, an update or a device has this firmware, or had it. Asked only of one that is deleted, for
    /// it may look through all updates.
    async fn firmware_is_used(&self, tenant: TenantId, id: FirmwareId) -> Result<bool, StoreError>;

    /// The firmware that a device of this model may have had before: of this name and version, for the model or else for
    /// none in particular, the newest of several. A device that does not tell its model had none that is for one.
    async fn firmware_of_version(
        &self,
        tenant: TenantId,
        name: &str,
        version: &str,
        model: Option<&str>,
    ) -> Result<Option<FirmwareId>, StoreError>;

    /// A part of the firmware that is not deleted, newest first.
    async fn list_firmware(
        &self,
        tenant: TenantId,
        filter: &FirmwareFilter,
        page: PageRequest,
    ) -> Result<Page<Firmware>, StoreError>;

    /// Releases that say, or whose images say, that they may be for a model: the highest version first, of one version the
    /// newest first. Nothing of what they cost grows with firmware for other models.
    async fn candidates(
        &self,
        tenant: TenantId,
        wanted: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError>;

    /// What [`Firmwares::candidates`] leaves out for other reasons than another model: betas and pre-releases that may be
    /// for the model, and firmware that says nothing of hardware. In the same order.
    async fn excluded_candidates(
        &self,
        tenant: TenantId,
        wanted: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError>;

    /// Hides a firmware from lists and new campaigns. False: there is none. A campaign that has not ended and uses it
    /// is a conflict.
    async fn delete_firmware(
        &self,
        tenant: TenantId,
        id: FirmwareId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Which firmware a module belongs to.
    async fn firmware_of_module(
        &self,
        tenant: TenantId,
        module: ModuleId,
    ) -> Result<Option<Firmware>, StoreError>;
}

/// Which firmware for a model to list, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CandidateFilter {
    /// As its devices report it.
    pub model: String,
    /// Only of this version or a higher one, as [`tidegate_core::version::sort_key`] writes it; none: of any.
    pub at_least: Option<String>,
    /// Only what comes after this one, by the key of its version and its id.
    pub after: Option<(String, FirmwareId)>,
    /// At most so many.
    pub limit: u32,
}

/// A firmware to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFirmware {
    /// Checked by the caller.
    pub details: FirmwareDetails,
    /// At least one.
    pub modules: Vec<NewModule>,
    /// By whom.
    pub created_by: String,
    /// When.
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

/// Which firmware to list; every filter that is set must hold.
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
