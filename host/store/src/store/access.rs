use async_trait::async_trait;
use tidegate_core::{
    id::{AuthorityId, DeviceKey, GatewayId, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{Access, Authority, Gateway, GatewayUse, NewAuthority, NewGateway, StoreError},
};

use super::SqlStore;
use crate::access::{authorities, gateways, tokens};

#[async_trait]
impl Access for SqlStore {
    async fn create_gateway(
        &self,
        ctx: &Ctx,
        gateway: NewGateway,
    ) -> Result<GatewayId, StoreError> {
        gateways::create(&self.database, ctx, &gateway).await
    }

    async fn gateways(&self, tenant: TenantId) -> Result<Vec<Gateway>, StoreError> {
        gateways::list(&self.database, tenant).await
    }

    async fn delete_gateway(&self, ctx: &Ctx, id: GatewayId) -> Result<bool, StoreError> {
        gateways::delete(&self.database, ctx, id).await
    }

    async fn record_gateway_use(&self, used: Vec<GatewayUse>) -> Result<(), StoreError> {
        gateways::record_use(&self.database, &used).await
    }

    async fn replace_token(
        &self,
        ctx: &Ctx,
        device_id: &str,
        sha256: Option<[u8; 32]>,
        old_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        tokens::replace(&self.database, ctx, device_id, sha256, old_until, now).await
    }

    async fn delete_old_token(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        current: [u8; 32],
    ) -> Result<(), StoreError> {
        tokens::forget_old(&self.database, tenant, device, current).await
    }

    async fn device_groups(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<Vec<String>>, StoreError> {
        tokens::device_groups(&self.database, tenant, device_id).await
    }

    async fn create_authority(
        &self,
        ctx: &Ctx,
        authority: NewAuthority,
    ) -> Result<AuthorityId, StoreError> {
        authorities::create(&self.database, ctx, authority).await
    }

    async fn authorities(&self, tenant: TenantId) -> Result<Vec<Authority>, StoreError> {
        authorities::list(&self.database, tenant).await
    }

    async fn delete_authority(&self, ctx: &Ctx, id: AuthorityId) -> Result<bool, StoreError> {
        authorities::delete(&self.database, ctx, id).await
    }
}
