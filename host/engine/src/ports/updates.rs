use std::collections::BTreeMap;

use async_trait::async_trait;
use tidegate_core::{
    device::AttributeNames,
    feedback::Feedback,
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{EventError, Update, UpdateEvent},
};

use super::{AttributeMode, Page, PageRequest, PollView, StoreError};

/// Updates, and what devices say of them.
#[async_trait]
pub trait Updates: Send + Sync {
    /// The update of this id.
    async fn update(&self, tenant: TenantId, id: UpdateId)
    -> Result<Option<UpdateRow>, StoreError>;

    /// A part of the updates that match, newest first.
    async fn list_updates(
        &self,
        tenant: TenantId,
        filter: &UpdateFilter,
        page: PageRequest,
    ) -> Result<Page<UpdateRow>, StoreError>;

    /// What a device said of an update, newest first.
    async fn history(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// What of it has messages or a code, newest first by the device's own time.
    async fn messages(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError>;

    /// Records an event of an update, gathered with others into one transaction; durable when this returns. The same
    /// feedback again changes nothing and is no error.
    async fn record(&self, report: UpdateReport) -> Result<RecordedFeedback, RecordError>;

    /// Records what a device reports of itself, gathered likewise. An update that waits for this version completes.
    async fn record_attributes(
        &self,
        report: AttributesReport,
    ) -> Result<RecordedFeedback, RecordError>;

    /// Records that a device has a firmware, as an update that came to its good end at once. While an update of it is
    /// open nothing is recorded, but that one of this firmware completes that waits for its proof. A device or a firmware
    /// that is not there is not found.
    async fn record_installed(
        &self,
        report: InstalledReport,
    ) -> Result<RecordedInstallation, RecordError>;
}

/// An update with the names that people know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRow {
    /// The update.
    pub update: Update,
    /// The device's id.
    pub device_id: String,
    /// The firmware's name.
    pub firmware_name: String,
    /// Changes whenever the update does.
    pub revision: i32,
}

/// Which updates to list; every filter that is set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateFilter {
    /// Those of this campaign.
    pub campaign: Option<CampaignId>,
    /// Those of this device.
    pub device: Option<DeviceKey>,
}

/// A feedback as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackRow {
    /// When it arrived.
    pub at: Timestamp,
    /// What it said.
    pub feedback: Feedback,
    /// Whether it answered a call back.
    pub on_cancel: bool,
}

/// Something that happened to an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateReport {
    /// Whose it is.
    pub tenant: TenantId,
    /// The device that speaks; an update of another is not found.
    pub device: DeviceKey,
    /// The update.
    pub update: UpdateId,
    /// What happened.
    pub event: UpdateEvent,
    /// When.
    pub at: Timestamp,
}

/// What a device reports of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesReport {
    /// Whose it is.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceKey,
    /// How they join what is there.
    pub mode: AttributeMode,
    /// None removes the key. Checked by the caller, but for the number in all.
    pub data: BTreeMap<String, Option<String>>,
    /// Which of them the host reads itself.
    pub names: AttributeNames,
    /// When.
    pub at: Timestamp,
}

/// What a device says that it has installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledReport {
    /// Whose it is.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceKey,
    /// The firmware's name.
    pub name: String,
    /// The firmware's version, in the same spelling.
    pub version: String,
    /// When.
    pub at: Timestamp,
}

/// What came of what a device says that it has installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedInstallation {
    /// Whether it was news.
    pub is_new: bool,
    /// As of any other event.
    pub recorded: RecordedFeedback,
}

impl AsRef<RecordedFeedback> for RecordedInstallation {
    fn as_ref(&self) -> &RecordedFeedback {
        &self.recorded
    }
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFeedback {
    /// Whether an update moved.
    pub changes_update: bool,
    /// The campaigns of all updates that moved, which may have something to do now.
    pub campaigns: Vec<CampaignId>,
    /// What polls of the device are to be answered from now on.
    pub view: PollView,
    /// Whether the device itself is another now: its attributes, its versions, its state.
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
    /// The device has no such update, or there is no such device.
    #[error("there is no such update of this device")]
    NotFound,
    /// The update does not take it.
    #[error(transparent)]
    Refused(#[from] EventError),
    /// All updates of the device are agreed to already.
    #[error("auto-confirm is active already")]
    AlreadyActive,
    /// More feedback, or more attributes, than is kept.
    #[error("more than {0} are not kept")]
    TooMany(usize),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
