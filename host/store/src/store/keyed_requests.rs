use async_trait::async_trait;
use tidegate_core::{id::TenantId, time::Timestamp};
use tidegate_engine::ports::{
    KeyedRequests, NewRequest, Quota, ReservationId, ReserveResult, StoreError,
};

use super::SqlStore;
use crate::keyed_requests;

#[async_trait]
impl KeyedRequests for SqlStore {
    async fn reserve_request(
        &self,
        tenant: TenantId,
        request: NewRequest,
        quota: Quota,
        now: Timestamp,
    ) -> Result<ReserveResult, StoreError> {
        keyed_requests::reserve_request(&self.database, tenant, request, quota, now).await
    }

    async fn renew_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        lease_until: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        keyed_requests::renew_request(&self.database, tenant, reservation, lease_until, expires_at)
            .await
    }

    async fn store_response(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        encrypted: Option<Vec<u8>>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        keyed_requests::store_response(&self.database, tenant, reservation, encrypted, expires_at)
            .await
    }

    async fn release_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
    ) -> Result<(), StoreError> {
        keyed_requests::release_request(&self.database, tenant, reservation).await
    }

    async fn delete_expired_requests(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        keyed_requests::delete_expired_requests(&self.database, now, limit).await
    }
}
