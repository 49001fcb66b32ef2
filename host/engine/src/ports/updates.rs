use std::collections::BTreeMap;

use async_trait::async_trait;
use tidegate_core::{
    device::AttributeNames,
    feedback::Feedback,
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{EventError, Update, UpdateEvent},
};

use crate::Ctx;

use super::{AttributeMode, Page, PageRequest, PollView, StoreError};

/// Updates, and the reports of devices about them.
#[async_trait]
pub trait Updates: Send + Sync {
    /// The update of this id.
    async fn update(&self, tenant: TenantId, id: UpdateId)
    -> Result<Option<UpdateRow>, StoreError>;

    /// A page of the updates that match, newest first.
    async fn list_updates(
        &self,
        tenant: TenantId,
        filter: &UpdateFilter,
        page: PageRequest,
    ) -> Result<Page<UpdateRow>, StoreError>;

    /// The device's feedback on an update, newest first.
    async fn history(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// The feedback that has messages or a code, newest first by the device's own time.
    async fn messages(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// Records an event of an update. Concurrent events share one transaction; durable on return. Idempotent: repeated
    /// feedback changes nothing.
    async fn record(&self, report: UpdateReport) -> Result<RecordedFeedback, RecordError>;

    /// Records attributes that a device reports, in the same way. Completes an update that waits for the reported
    /// version.
    async fn record_attributes(
        &self,
        report: AttributesReport,
    ) -> Result<RecordedFeedback, RecordError>;

    /// Records that a device has a firmware, as an update that is completed immediately. While an update of the device
    /// is open nothing is recorded, except that an update of this firmware that waits for its success criteria is
    /// completed. Not found: the device or the firmware does not exist.
    async fn record_installed(
        &self,
        report: InstalledReport,
    ) -> Result<RecordedInstallation, RecordError>;
}

/// An update with the names of its device and firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRow {
    /// The update.
    pub update: Update,
    /// Id of the device.
    pub device_id: String,
    /// Name of the firmware.
    pub firmware_name: String,
    /// Incremented with every change of the update.
    pub revision: i32,
}

/// Which updates to list. All filters that are set must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateFilter {
    /// Only updates of this campaign.
    pub campaign: Option<CampaignId>,
    /// Only updates of this device.
    pub device: Option<DeviceKey>,
}

/// A stored feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackRow {
    /// When it arrived.
    pub at: Timestamp,
    /// The feedback.
    pub feedback: Feedback,
    /// Whether it answers a cancellation.
    pub on_cancel: bool,
}

/// An event of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateReport {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// The update's device; an update of another device is not found.
    pub device: DeviceKey,
    /// The update.
    pub update: UpdateId,
    /// The event.
    pub event: UpdateEvent,
    /// The actor whose event it is; none: the device.
    pub by: Option<Ctx>,
    /// Time of the event.
    pub at: Timestamp,
}

/// Attributes that a device reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesReport {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceKey,
    /// How the attributes are combined with the stored ones.
    pub mode: AttributeMode,
    /// `None` removes the attribute. Validated by the caller, except for the total number.
    pub data: BTreeMap<String, Option<String>>,
    /// Names of the attributes that the server itself interprets.
    pub names: AttributeNames,
    /// Time of the report.
    pub at: Timestamp,
}

/// A firmware that a device reports as installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledReport {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceKey,
    /// Name of the firmware.
    pub name: String,
    /// Version of the firmware, in the firmware's own spelling.
    pub version: String,
    /// Time of the report.
    pub at: Timestamp,
}

/// Result of recording an installed firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedInstallation {
    /// Whether the report was new.
    pub is_new: bool,
    /// As for any other event.
    pub recorded: RecordedFeedback,
}

impl AsRef<RecordedFeedback> for RecordedInstallation {
    fn as_ref(&self) -> &RecordedFeedback {
        &self.recorded
    }
}

/// Result of recording an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFeedback {
    /// Whether an update changed.
    pub changes_update: bool,
    /// Campaigns of the changed updates, to be woken.
    pub campaigns: Vec<CampaignId>,
    /// What later polls of the device need.
    pub view: PollView,
    /// Whether the device's attributes, versions or state changed.
    pub changes_device: bool,
}

impl AsRef<Self> for RecordedFeedback {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Why an event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The device has no such update, or does not exist.
    #[error("the device has no such update")]
    NotFound,
    /// The update does not accept the event in its status.
    #[error(transparent)]
    Refused(#[from] EventError),
    /// Auto-confirmation is active already.
    #[error("auto-confirm is active already")]
    AlreadyActive,
    /// The limit of stored feedback or attributes is exceeded.
    #[error("at most {0} are stored")]
    TooMany(usize),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
