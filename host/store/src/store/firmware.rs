use async_trait::async_trait;
use tidegate_core::{
    firmware::Firmware,
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{
        CandidateFilter, FirmwareFilter, Firmwares, NewFirmware, Page, PageRequest, StoreError,
    },
};

use super::SqlStore;
use crate::firmware::{create, delete, id_by_version, list, models, read};

#[async_trait]
impl Firmwares for SqlStore {
    async fn create_firmware(
        &self,
        ctx: &Ctx,
        firmware: NewFirmware,
    ) -> Result<FirmwareId, StoreError> {
        create::create(&self.database, ctx, &firmware).await
    }

    async fn firmware(
        &self,
        tenant: TenantId,
        id: FirmwareId,
    ) -> Result<Option<Firmware>, StoreError> {
        read::by_id(&self.database, tenant, id).await
    }

    async fn firmware_is_used(&self, tenant: TenantId, id: FirmwareId) -> Result<bool, StoreError> {
        read::is_used(&self.database, tenant, id).await
    }

    async fn firmware_of_version(
        &self,
        tenant: TenantId,
        name: &str,
        version: &str,
        model: Option<&str>,
    ) -> Result<Option<FirmwareId>, StoreError> {
        let mut tx = self.database.read_single().await?;
        id_by_version(&mut tx, tenant, name, version, model).await
    }

    async fn list_firmware(
        &self,
        tenant: TenantId,
        filter: &FirmwareFilter,
        page: PageRequest,
    ) -> Result<Page<Firmware>, StoreError> {
        list::list(&self.database, tenant, filter, page).await
    }

    async fn candidates(
        &self,
        tenant: TenantId,
        filter: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError> {
        models::candidates(&self.database, tenant, filter).await
    }

    async fn excluded_candidates(
        &self,
        tenant: TenantId,
        filter: &CandidateFilter,
    ) -> Result<Vec<Firmware>, StoreError> {
        models::excluded_candidates(&self.database, tenant, filter).await
    }

    async fn delete_firmware(
        &self,
        ctx: &Ctx,
        id: FirmwareId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        delete::delete(&self.database, ctx, id, now).await
    }

    async fn firmware_of_module(
        &self,
        tenant: TenantId,
        module: ModuleId,
    ) -> Result<Option<Firmware>, StoreError> {
        read::by_module(&self.database, tenant, module).await
    }
}
