use std::collections::HashSet;

use async_trait::async_trait;
use tidegate_core::{
    campaign::Targets,
    device::{AutoConfirm, Device},
    id::{DeviceKey, TenantId},
    selector::Selector,
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{
        DeviceFilter, Devices, Enrolment, LastSeenRecord, NewDevice, OverdueRule, Page,
        PageRequest, PollView, SelectedDevice, StoreError,
    },
};

use super::SqlStore;
use crate::{
    devices::{DeviceRegistration, create, last_seen, list, read, select},
    dialect::storable,
    updates::auto_confirm,
};

#[async_trait]
impl Devices for SqlStore {
    async fn create_device(&self, ctx: &Ctx, device: NewDevice) -> Result<DeviceKey, StoreError> {
        create::create(&self.database, &self.attribute_names, ctx, &device).await
    }

    async fn enrol(
        &self,
        tenant: TenantId,
        device_id: &str,
        enrolment: &Enrolment,
        now: Timestamp,
    ) -> Result<PollView, StoreError> {
        let registration = DeviceRegistration::new(tenant, device_id, enrolment, now);
        self.registrations.submit(registration).await
    }

    async fn poll_view(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<PollView>, StoreError> {
        let device_id = storable(device_id).into_owned();
        self.poll_views.submit((tenant, device_id)).await
    }

    async fn device(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<Device>, StoreError> {
        read::device(&self.database, tenant, device_id).await
    }

    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError> {
        auto_confirm::read(&mut self.database.read_single().await?, tenant, device).await
    }

    async fn list_devices(
        &self,
        tenant: TenantId,
        filter: &DeviceFilter,
        overdue: Option<&OverdueRule>,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        list::list(&self.database, tenant, filter, overdue, page).await
    }

    async fn record_last_seen(&self, seen: Vec<LastSeenRecord>) -> Result<(), StoreError> {
        last_seen::write(&self.database, &seen).await
    }

    async fn select(
        &self,
        tenant: TenantId,
        targets: &Targets,
        filter: Option<&Selector>,
        overdue: Option<&OverdueRule>,
        attributes: &[String],
    ) -> Result<Vec<SelectedDevice>, StoreError> {
        let database = &self.database;
        select::select(database, tenant, targets, filter, overdue, attributes, None).await
    }

    async fn matching(
        &self,
        tenant: TenantId,
        selector: &Selector,
        overdue: Option<&OverdueRule>,
    ) -> Result<HashSet<DeviceKey>, StoreError> {
        select::matching(&self.database, tenant, selector, overdue).await
    }
}
