use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tidegate_core::{
    campaign::Targets,
    id::{DeviceKey, TenantId},
    plugin::ClassKey,
    selector::Selector,
    time::Timestamp,
};

use super::{ClassVerdict, NewJournalEntry, OverdueRule, RunRef, SelectedDevice, StoreError};

/// Devices that join campaigns whose plan is dynamic, after the start. While a tenant has such a campaign, a device that is
/// created or that a selector may distinguish from its state before is noted as changed, in the transaction of the change.
#[async_trait]
pub trait DynamicPlans: Send + Sync {
    /// The campaigns of all tenants that devices can join, ordered by tenant.
    async fn dynamic_campaigns(&self) -> Result<Vec<DynamicCampaign>, StoreError>;

    /// Up to `limit` changed devices whose check is due, ordered by key.
    async fn changed_devices(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChangedDevice>, StoreError>;

    /// Deletes the notes of devices that were checked. A device that changed again meanwhile stays noted.
    async fn forget_changes(
        &self,
        tenant: TenantId,
        checked: &[ChangedDevice],
    ) -> Result<(), StoreError>;

    /// The check of these devices is due again at this time.
    async fn postpone_changes(
        &self,
        tenant: TenantId,
        devices: &[ChangedDevice],
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Deletes up to `limit` notes of tenants without a campaign that devices can join; returns how many.
    async fn forget_needless_changes(&self, limit: u32) -> Result<u64, StoreError>;

    /// The targeted devices behind a key, ordered by key, up to a number.
    async fn targeted_page(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        page: (DeviceKey, u32),
    ) -> Result<Vec<DeviceKey>, StoreError>;

    /// When all targeted devices of a campaign are checked; `None`: they were.
    async fn set_join_scan(&self, run: RunRef, at: Option<Timestamp>) -> Result<(), StoreError>;

    /// Those of the devices that the campaign has not selected, or has excluded; ordered by key. Devices that its plan left
    /// out stay left out.
    async fn outsiders(
        &self,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
    ) -> Result<Vec<Outsider>, StoreError>;

    /// As [`super::Devices::select`], but only among these devices.
    async fn select_among(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        attributes: &[String],
        devices: &[DeviceKey],
    ) -> Result<Vec<SelectedDevice>, StoreError>;

    /// Those of the classes that the campaign's policies have checked.
    async fn known_classes(
        &self,
        run: RunRef,
        classes: &[ClassKey],
    ) -> Result<KnownClasses, StoreError>;

    /// Adds devices to a campaign in one transaction: those of accepted classes at the end of its last wave, in their order,
    /// the others as excluded; with the verdicts, the counters and the journal. Increments the generation, and wakes the
    /// campaign if its last wave grew. False, and nothing is changed, if devices cannot join the campaign, or if one of them
    /// is no longer the outsider that was read.
    async fn join_devices(&self, run: RunRef, late: LateDevices) -> Result<bool, StoreError>;
}

/// A campaign that devices can join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicCampaign {
    /// The campaign.
    pub run: RunRef,
    /// When all its targeted devices are checked for those that changed while it started; `None`: they were.
    pub scan_at: Option<Timestamp>,
}

/// A device that is noted as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedDevice {
    /// The device.
    pub device: DeviceKey,
    /// Number of its changes.
    pub changes: i64,
}

/// A device that is no member of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outsider {
    /// The device.
    pub device: DeviceKey,
    /// The index of the class as which the campaign excluded it; `None`: the campaign has not selected it.
    pub excluded_as: Option<u32>,
}

/// A class of a campaign that its policies have checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownClass {
    /// Its index.
    pub index: u32,
    /// Why it is excluded; `None`: it is compatible.
    pub excluded: Option<String>,
}

/// Classes that the policies of a campaign have checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownClasses {
    /// Those that were asked for.
    pub by_key: BTreeMap<ClassKey, KnownClass>,
    /// Number of all classes of the campaign.
    pub count: u32,
}

/// Devices to be added to a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateDevices {
    /// When.
    pub at: Timestamp,
    /// The verdicts on those of their classes that are new.
    pub classes: Vec<ClassVerdict>,
    /// In the order in which they join.
    pub devices: Vec<LateDevice>,
    /// The calls of policies and the act of the server.
    pub journal: Vec<NewJournalEntry>,
}

/// A device to be added to a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateDevice {
    /// As it was read.
    pub outsider: Outsider,
    /// Its class.
    pub class: ClassKey,
}
