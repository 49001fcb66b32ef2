use async_trait::async_trait;
use tidegate_core::{id::TenantId, settings::TenantSettings};
use tidegate_engine::{
    Ctx, ServerCtx,
    ports::{ApiKey, ApiKeyRecord, ApiKeyUse, StoreError, Tenant, Tenants},
};

use super::SqlStore;
use crate::tenants;

#[async_trait]
impl Tenants for SqlStore {
    async fn create_tenant(&self, ctx: &ServerCtx, name: &str) -> Result<Tenant, StoreError> {
        tenants::create_tenant(&self.database, ctx, name).await
    }

    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError> {
        tenants::tenant(&self.database, name).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        tenants::tenants(&self.database).await
    }

    async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        tenants::tenant_by_id(&self.database, id).await
    }

    async fn change_settings(
        &self,
        ctx: &Ctx,
        before: &Tenant,
        settings: &TenantSettings,
    ) -> Result<bool, StoreError> {
        tenants::change_settings(&self.database, ctx, before, settings).await
    }

    async fn create_key(&self, ctx: &Ctx, key: ApiKeyRecord) -> Result<(), StoreError> {
        tenants::create_key(&self.database, ctx, key).await
    }

    async fn key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        tenants::key(&self.database, sha256).await
    }

    async fn existing_keys(
        &self,
        keys: &[(TenantId, [u8; 32])],
    ) -> Result<Vec<(TenantId, [u8; 32])>, StoreError> {
        tenants::existing_keys(&self.database, keys).await
    }

    async fn keys(&self, tenant: TenantId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        tenants::keys(&self.database, tenant).await
    }

    async fn delete_key(&self, ctx: &Ctx, sha256: [u8; 32]) -> Result<bool, StoreError> {
        tenants::delete_key(&self.database, ctx, sha256).await
    }

    async fn record_key_use(&self, used: Vec<ApiKeyUse>) -> Result<(), StoreError> {
        tenants::record_key_use(&self.database, &used).await
    }

    async fn has_keys(&self) -> Result<bool, StoreError> {
        tenants::has_keys(&self.database).await
    }
}
