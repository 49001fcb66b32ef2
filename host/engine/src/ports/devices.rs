use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use strum::{EnumString, VariantNames};
use tidegate_core::{
    campaign::Targets,
    device::{AutoConfirm, Device},
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::DeviceMode,
    plugin::ClassKey,
    selector::Selector,
    time::Timestamp,
    update::{Refusal, Update, UpdateStatus, UpdateType},
    window::MaintenanceWindow,
};

use crate::Ctx;

use super::{Enrolment, OldToken, Page, PageRequest, StoreError};

/// Creates, registers, reads and selects devices.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Creates a device that has not polled yet (state `unknown`). A second one of the same id is a conflict.
    async fn create_device(&self, ctx: &Ctx, device: NewDevice) -> Result<DeviceKey, StoreError>;

    /// Registers a device that polled (state `registered`), and creates it if it does not exist. Idempotent. Concurrent
    /// registrations share one transaction. Returns what a poll needs.
    async fn register(
        &self,
        tenant: TenantId,
        device_id: &str,
        now: Timestamp,
    ) -> Result<PollView, StoreError> {
        self.enrol(tenant, device_id, &Enrolment::default(), now)
            .await
    }

    /// Like [`Devices::register`], and gives a new device its group and token. An existing device is left unchanged.
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

    /// The device of this id, with its stored state.
    async fn device(&self, tenant: TenantId, device_id: &str)
    -> Result<Option<Device>, StoreError>;

    /// The device's auto-confirmation; `None`: inactive.
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError>;

    /// A page of the devices that match. Filter and order use the shown states, the devices have their stored ones.
    async fn list_devices(
        &self,
        tenant: TenantId,
        filter: &DeviceFilter,
        overdue: Option<&OverdueRule>,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError>;

    /// Stores when devices were last seen, many at a time.
    async fn record_last_seen(&self, seen: Vec<LastSeenRecord>) -> Result<(), StoreError>;

    /// The devices that a campaign targets, in any order, without duplicates. `attributes` become part of the class
    /// key.
    async fn select(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        attributes: &[String],
    ) -> Result<Vec<SelectedDevice>, StoreError>;

    /// The devices that match a selector.
    async fn matching(
        &self,
        tenant: TenantId,
        selector: &Selector,
        overdue: Option<&OverdueRule>,
    ) -> Result<HashSet<DeviceKey>, StoreError>;
}

/// A device to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewDevice {
    /// Validated by the caller.
    pub device_id: String,
    /// Display name; empty: the device id.
    pub name: String,
    /// The groups that the device joins.
    pub groups: Vec<String>,
    /// Attributes until the device reports its own.
    pub attributes: BTreeMap<String, String>,
    /// The feed that the device follows.
    pub feed: Option<String>,
    /// Labels set by operators.
    pub labels: BTreeMap<String, String>,
    /// How the device gets its firmware.
    pub mode: DeviceMode,
    /// Whether the device is offered no new updates.
    pub pinned: bool,
    /// sha256 of the device's token.
    pub token_sha256: Option<[u8; 32]>,
    /// Polling interval in whole seconds; `None`: as the tenant's settings say.
    pub polling_interval: Option<Duration>,
    /// Creation time.
    pub created_at: Option<Timestamp>,
}

/// What a poll needs to know of a device. Cached in memory for every device that polls, therefore kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollView {
    /// Row key of the device.
    pub device: DeviceKey,
    /// sha256 of the device's token.
    pub token_sha256: Option<[u8; 32]>,
    /// The previous token while it is still valid.
    pub old_token: Option<Box<OldToken>>,
    /// Whether the device is still to be asked for its attributes.
    pub wants_attributes: bool,
    /// Whether an operator created the device and it has never polled.
    pub is_unseen: bool,
    /// The update that the device is shown: the open one with the highest weight, then the oldest. Updates that wait
    /// for their success criteria are left out.
    pub open: Option<Arc<DeviceUpdate>>,
    /// The device's last completed update.
    pub installed: Option<UpdateId>,
    /// Polling interval in seconds; `None`: as the tenant's settings say.
    pub polling_seconds: Option<u32>,
}

/// An update as its device sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUpdate {
    /// DDI's action id.
    pub id: UpdateId,
    /// Status of the update.
    pub status: UpdateStatus,
    /// How far the device is with refusing it.
    pub refusal: Option<Refusal>,
    /// Incremented with every change of the update, except when the device merely reads it.
    pub revision: i32,
    /// The firmware.
    pub firmware: FirmwareId,
    /// When and how the device downloads and installs it.
    pub update_type: UpdateType,
    /// The maintenance window; `None`: the update may be installed at any time. Updates with equal windows share one
    /// value.
    pub window: Option<Arc<MaintenanceWindow>>,
}

impl DeviceUpdate {
    /// What the device sees of an update of this revision.
    pub fn new(update: &Update, revision: i32) -> Self {
        let state = &update.state;
        Self {
            id: update.id,
            status: state.status,
            refusal: state.refusal,
            revision,
            firmware: update.firmware,
            update_type: state.options.update_type,
            window: state.options.window.clone(),
        }
    }

    /// DDI's `c` parameter: changes whenever the deployment document changes, including changes by time alone.
    pub fn content_revision(&self, now: Timestamp) -> i32 {
        let revision = match &self.window {
            // The lowest bit tells whether the window is open.
            Some(window) => self.revision.wrapping_mul(2) | i32::from(window.is_open(now)),
            None => self.revision,
        };
        match self.update_type.forced_at() {
            Some(at) if now >= at => !revision,
            _ => revision,
        }
    }
}

/// When and from where a device was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSeenRecord {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// Row key of the device.
    pub device: DeviceKey,
    /// Time of the request.
    pub at: Timestamp,
    /// Source address; stored only if the tenant's settings ask for it.
    pub address: Option<IpAddr>,
}

/// Which devices of a tenant are overdue: those that were last seen before a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueRule {
    /// The time.
    pub before: Timestamp,
    /// Devices that were seen since then, although the stored times do not show it yet.
    pub seen: HashSet<DeviceKey>,
}

impl OverdueRule {
    /// True if this stored device is overdue.
    pub fn includes(&self, device: &Device) -> bool {
        device.last_seen.is_some_and(|at| at < self.before) && !self.seen.contains(&device.key)
    }
}

/// Which devices to list, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceFilter {
    /// Only devices that match; `None`: all.
    pub selector: Option<Selector>,
    /// Sort key.
    pub sort: DeviceSort,
    /// Reverses the order.
    pub descending: bool,
}

/// Sort keys for devices. Ties are ordered by row key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
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

/// A device selected for a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedDevice {
    /// Row key of the device.
    pub key: DeviceKey,
    /// Device id.
    pub device_id: String,
    /// The class by which plugins see the device. Shared by the devices of the class: there may be a million.
    pub class: Arc<ClassKey>,
    /// Ordered by name.
    pub groups: Vec<Arc<str>>,
    /// Campaigns offer updates only to devices in mode `rollout`.
    pub mode: DeviceMode,
}
