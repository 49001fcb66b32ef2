use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use tidegate_core::{
    device::AttributeMode,
    id::{CampaignId, DeviceKey, TenantId},
    mode::{DeviceMode, SkipReason},
    time::Timestamp,
};

use crate::Ctx;

use super::{Page, PageRequest, StoreError};

/// Changes devices on behalf of operators, and lists how their attributes changed.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Changes a device. Returns the campaigns to be woken.
    async fn change_device(
        &self,
        ctx: &Ctx,
        device_id: &str,
        change: DeviceChange,
    ) -> Result<Vec<CampaignId>, ChangeError>;

    /// Deletes a device with its attributes, updates and feedback. Its open updates are cancelled first, so that
    /// campaign counters stay correct. Returns the campaigns affected. `None`: the device does not exist.
    async fn delete_device(
        &self,
        ctx: &Ctx,
        device_id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<CampaignId>>, StoreError>;

    /// Why a campaign skipped a device. `None`: it did not, or not yet.
    async fn skip_reason(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        device: DeviceKey,
    ) -> Result<Option<SkipReason>, StoreError>;

    /// Attribute changes from the device's reports, newest first. The last [`MAX_CHANGES`] of each device are kept.
    /// `None`: the device does not exist.
    async fn attribute_changes(
        &self,
        tenant: TenantId,
        device_id: &str,
        page: PageRequest,
    ) -> Result<Option<Page<AttributeChange>>, StoreError>;
}

/// Maximum number of labels of a device.
pub const MAX_LABELS: usize = 50;
/// Maximum number of attribute changes kept for a device.
pub const MAX_CHANGES: i64 = 500;

/// A change of a device. `None` leaves a value unchanged. Validated by the caller, except for the total number of
/// labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChange {
    /// Display name; empty: the device id.
    pub name: Option<String>,
    /// The complete list of its groups.
    pub groups: Option<Vec<String>>,
    /// The feed to follow; `Some(None)`: no feed.
    pub feed: Option<Option<String>>,
    /// Whether labels that are not in `labels` are removed.
    pub clears_labels: bool,
    /// Labels to set; `None` removes the label.
    pub labels: BTreeMap<String, Option<String>>,
    /// How the device gets its firmware.
    pub mode: Option<DeviceMode>,
    /// Whether the device is offered no new updates.
    pub pinned: Option<bool>,
    /// Polling interval in whole seconds; `Some(None)`: as the tenant's settings say.
    pub polling_interval: Option<Option<Duration>>,
    /// Whether the device is asked for its attributes until it reports them.
    pub requests_attributes: Option<bool>,
    /// Time of the change.
    pub at: Timestamp,
}

impl DeviceChange {
    /// An empty change.
    pub fn at(at: Timestamp) -> Self {
        Self {
            name: None,
            groups: None,
            feed: None,
            clears_labels: false,
            labels: BTreeMap::new(),
            mode: None,
            pinned: None,
            polling_interval: None,
            requests_attributes: None,
            at,
        }
    }
}

/// Why a device was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The device does not exist.
    #[error("there is no such device")]
    NotFound,
    /// The device would exceed [`MAX_LABELS`].
    #[error("a device has at most {MAX_LABELS} labels")]
    TooManyLabels,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One attribute that a report changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// Counts the changes of the device.
    pub seq: u64,
    /// Number of the report's first change; the same for all changes of one report.
    pub report: u64,
    /// When the device reported.
    pub at: Timestamp,
    /// How the report was combined with the stored attributes.
    pub mode: AttributeMode,
    /// Name of the attribute.
    pub key: String,
    /// Previous value; `None`: the attribute did not exist.
    pub before: Option<String>,
    /// New value; `None`: the attribute was removed.
    pub after: Option<String>,
}
