use std::collections::BTreeSet;

use async_trait::async_trait;
use tidegate_core::{
    campaign::Targets,
    id::{DeviceKey, TenantId},
    plugin::ClassKey,
    selector::Selector,
    time::Timestamp,
};
use tidegate_engine::ports::{
    ChangedDevice, DynamicCampaign, DynamicPlans, KnownClasses, LateDevices, Outsider, OverdueRule,
    RunRef, SelectedDevice, StoreError,
};

use super::SqlStore;
use crate::{
    changed_devices,
    devices::select,
    runs::{join, outsiders},
};

#[async_trait]
impl DynamicPlans for SqlStore {
    async fn dynamic_campaigns(&self) -> Result<Vec<DynamicCampaign>, StoreError> {
        changed_devices::dynamic_campaigns(&self.database).await
    }

    async fn changed_devices(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChangedDevice>, StoreError> {
        changed_devices::changed_devices(&self.database, tenant, now, limit).await
    }

    async fn forget_changes(
        &self,
        tenant: TenantId,
        checked: &[ChangedDevice],
    ) -> Result<(), StoreError> {
        changed_devices::forget(&self.database, tenant, checked).await
    }

    async fn postpone_changes(
        &self,
        tenant: TenantId,
        devices: &[ChangedDevice],
        until: Timestamp,
    ) -> Result<(), StoreError> {
        changed_devices::postpone(&self.database, tenant, devices, until).await
    }

    async fn forget_needless_changes(&self, limit: u32) -> Result<u64, StoreError> {
        changed_devices::forget_needless(&self.database, limit).await
    }

    async fn targeted_page(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        page: (DeviceKey, u32),
    ) -> Result<Vec<DeviceKey>, StoreError> {
        select::targeted_page(&self.database, tenant, targets, filter, overdue, page).await
    }

    async fn set_join_scan(&self, run: RunRef, at: Option<Timestamp>) -> Result<(), StoreError> {
        join::set_scan(&self.database, run, at).await
    }

    async fn outsiders(
        &self,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
    ) -> Result<Vec<Outsider>, StoreError> {
        outsiders::outsiders(&mut self.database.read().await?, run, devices).await
    }

    async fn select_among(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        attributes: &[String],
        devices: &[DeviceKey],
    ) -> Result<Vec<SelectedDevice>, StoreError> {
        let (database, among) = (&self.database, Some(devices));
        select::select(
            database, tenant, targets, filter, overdue, attributes, among,
        )
        .await
    }

    async fn known_classes(
        &self,
        run: RunRef,
        classes: &[ClassKey],
    ) -> Result<KnownClasses, StoreError> {
        outsiders::known_classes(&mut self.database.read().await?, run, classes).await
    }

    async fn join_devices(&self, run: RunRef, late: LateDevices) -> Result<bool, StoreError> {
        join::join(&self.database, run, late).await
    }
}
