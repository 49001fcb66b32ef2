use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId},
    mode::{DeviceMode, SkipReason},
    time::Timestamp,
};

use super::{AttributeMode, Page, PageRequest, StoreError};

/// What operators change of devices, and what changed of them by itself.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Changes a device; answers the campaigns that may have something to do now.
    async fn change_device(
        &self,
        tenant: TenantId,
        device_id: &str,
        change: DeviceChange,
    ) -> Result<Vec<CampaignId>, ChangeError>;

    /// Deletes a device with everything that belongs to it: what it said, its updates and their feedback. Its open
    /// updates end as cancelled first, so that its campaigns' counters keep what was counted. Answers those campaigns;
    /// none: there is no such device.
    async fn delete_device(
        &self,
        tenant: TenantId,
        device_id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<CampaignId>>, StoreError>;

    /// Why a campaign passed over a device when its turn came; none: it did not, or not yet.
    async fn skip_reason(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        device: DeviceKey,
    ) -> Result<Option<SkipReason>, StoreError>;

    /// What changed when a device reported, newest first; none: there is no such device. Of each device the last
    /// [`MAX_CHANGES`] are kept.
    async fn attribute_changes(
        &self,
        tenant: TenantId,
        device_id: &str,
        page: PageRequest,
    ) -> Result<Option<Page<AttributeChange>>, StoreError>;
}

/// Most labels of a device.
pub const MAX_LABELS: usize = 50;
/// Most changes of attributes that are kept of a device.
pub const MAX_CHANGES: i64 = 500;

/// A change of a device, checked by the caller but for the number of labels in all: what is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChange {
    /// For people; the device id when it is empty.
    pub name: Option<String>,
    /// All of its groups.
    pub groups: Option<Vec<String>>,
    /// Which feed it follows; none in it: none any more.
    pub feed: Option<Option<String>>,
    /// Whether labels that are not named go.
    pub clears_labels: bool,
    /// Labels to be set; none removes.
    pub labels: BTreeMap<String, Option<String>>,
    /// How it comes by its firmware.
    pub mode: Option<DeviceMode>,
    /// Whether anything new may go to it.
    pub pinned: Option<bool>,
    /// How often it is to poll, in whole seconds; none in it: as others like it.
    pub polling_interval: Option<Option<Duration>>,
    /// Whether it is asked for its attributes until it reports them.
    pub requests_attributes: Option<bool>,
    /// When.
    pub at: Timestamp,
}

impl DeviceChange {
    /// No change.
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
    /// There is no such device.
    #[error("there is no such device")]
    NotFound,
    /// It would have more labels than [`MAX_LABELS`].
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
    /// The same for all changes of one report: the number of its first.
    pub report: u64,
    /// When the device reported.
    pub at: Timestamp,
    /// How the report joined what was there.
    pub mode: AttributeMode,
    /// Which attribute.
    pub key: String,
    /// What it was; none: it was not there.
    pub before: Option<String>,
    /// What it became; none: it went.
    pub after: Option<String>,
}
