use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tidegate_core::{
    campaign::Targets,
    device::Device,
    id::{DeviceKey, TenantId, UpdateId},
    mode::DeviceMode,
    plugin::ClassKey,
    selector::Selector,
    time::Timestamp,
    update::UpdateStatus,
    window::MaintenanceWindow,
};

use super::{Enrolment, OldToken, Page, PageRequest, StoreError};

/// Devices.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Makes a device that has not been seen yet (state `unknown`). A second one of the same id is a conflict.
    async fn create_device(
        &self,
        tenant: TenantId,
        device: NewDevice,
    ) -> Result<DeviceKey, StoreError>;

    /// Registers a device that polled (state `registered`): makes it when it is not there. Many at once are gathered
    /// into one transaction; the same one twice is registered once. Answers what a poll needs.
    async fn register(
        &self,
        tenant: TenantId,
        device_id: &str,
        now: Timestamp,
    ) -> Result<PollView, StoreError> {
        self.enrol(tenant, device_id, &Enrolment::default(), now)
            .await
    }

    /// The same for a device that is given something when it is made. One that is there is given nothing.
    async fn enrol(
        &self,
        tenant: TenantId,
        device_id: &str,
        enrolment: &Enrolment,
        now: Timestamp,
    ) -> Result<PollView, StoreError>;

    /// What a poll of this device needs.
    async fn poll_view(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<PollView>, StoreError>;

    /// The device of this id.
    async fn device(&self, tenant: TenantId, device_id: &str)
    -> Result<Option<Device>, StoreError>;

    /// A part of the devices that match.
    async fn list_devices(
        &self,
        tenant: TenantId,
        filter: &DeviceFilter,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError>;

    /// Notes when devices were last seen, many at once.
    async fn record_last_seen(&self, seen: Vec<LastSeenRecord>) -> Result<(), StoreError>;

    /// The devices that a campaign means, in any order, each once. `wanted` are the attributes that go into classes.
    async fn select(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        wanted: &[String],
    ) -> Result<Vec<SelectedDevice>, StoreError>;

    /// The devices that match a selector.
    async fn matching(
        &self,
        tenant: TenantId,
        selector: &Selector,
    ) -> Result<HashSet<DeviceKey>, StoreError>;
}

/// A device to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewDevice {
    /// Checked by the caller.
    pub device_id: String,
    /// For people; the device id when it is empty.
    pub name: String,
    /// Which groups it is in.
    pub groups: Vec<String>,
    /// What is known of it before it reports.
    pub attributes: BTreeMap<String, String>,
    /// Which feed it follows.
    pub feed: Option<String>,
    /// What operators note of it.
    pub labels: BTreeMap<String, String>,
    /// How it comes by its firmware.
    pub mode: DeviceMode,
    /// Whether nothing new is to go to it.
    pub pinned: bool,
    /// sha256 of its token.
    pub token_sha256: Option<[u8; 32]>,
    /// How often it is to poll, in whole seconds; none: as others like it.
    pub polling_interval: Option<Duration>,
    /// When.
    pub created_at: Option<Timestamp>,
}

/// What a poll needs to know of a device, and no more: it is kept in memory for every device that polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollView {
    /// The device's row.
    pub device: DeviceKey,
    /// sha256 of its token.
    pub token_sha256: Option<[u8; 32]>,
    /// Its token before, while that may still open the door.
    pub old_token: Option<Box<OldToken>>,
    /// Whether it is still to be asked for its attributes.
    pub wants_attributes: bool,
    /// Whether it was made by an operator and has not been seen.
    pub is_unseen: bool,
    /// The update that it is shown: the heaviest open one, then the oldest; none that waits for its proof.
    pub open: Option<OpenUpdate>,
    /// Its last completed update.
    pub installed: Option<UpdateId>,
    /// How often it is to poll; none: as others like it.
    pub polling_seconds: Option<u32>,
}

/// An open update as a poll shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpdate {
    /// DDI's action id.
    pub id: UpdateId,
    /// Where it is.
    pub status: UpdateStatus,
    /// Changes whenever the update does, but for the device's looking at it.
    pub revision: i32,
    /// When a soft update becomes forced.
    pub forced_at: Option<Timestamp>,
    /// When it may be installed; none: at any time. Shared by all that have the same.
    pub window: Option<Arc<MaintenanceWindow>>,
}

impl OpenUpdate {
    /// DDI's `c`: changes whenever what the device is told of the update does, also when nothing but time has passed.
    pub fn content_revision(&self, now: Timestamp) -> i32 {
        let revision = match &self.window {
            // One bit more, for whether it is open.
            Some(window) => self.revision.wrapping_mul(2) | i32::from(window.is_open(now)),
            None => self.revision,
        };
        match self.forced_at {
            Some(at) if now >= at => !revision,
            _ => revision,
        }
    }
}

/// A device that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSeenRecord {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its row.
    pub device: DeviceKey,
    /// When.
    pub at: Timestamp,
    /// From where; not kept unless the tenant wants to know.
    pub address: Option<IpAddr>,
}

/// How reported attributes join those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum AttributeMode {
    Merge,
    Replace,
    Remove,
}

/// Which devices to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceFilter {
    /// Those that match; none: all.
    pub selector: Option<Selector>,
    /// In which order.
    pub sort: DeviceSort,
    /// The other way round.
    pub descending: bool,
}

/// What devices can be sorted by; ties by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of the columns")]
pub enum DeviceSort {
    #[default]
    DeviceId,
    Name,
    LastSeen,
    SwVersion,
    HwModel,
    Feed,
    Mode,
    State,
    CreatedAt,
}

/// A device as a campaign selects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedDevice {
    /// Its row.
    pub key: DeviceKey,
    /// Its id.
    pub device_id: String,
    /// What plugins can tell it by.
    pub class: ClassKey,
    /// Ordered by name.
    pub groups: Vec<String>,
    /// Only those in mode `rollout` are given what campaigns roll out.
    pub mode: DeviceMode,
}
