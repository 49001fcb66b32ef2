use async_trait::async_trait;
use tidegate_core::{id::TenantId, time::Timestamp};

use super::StoreError;

/// Requests with an idempotency key, and their stored responses.
#[async_trait]
pub trait KeyedRequests: Send + Sync {
    /// Reserves a request for execution, unless it is reserved already or the tenant's quota is exceeded.
    async fn reserve_request(
        &self,
        tenant: TenantId,
        request: NewRequest,
        quota: Quota,
        now: Timestamp,
    ) -> Result<ReserveResult, StoreError>;

    /// Extends the reservation's lease to `lease_until`. A time in the past marks the request as interrupted. Does
    /// nothing if the reservation was taken over or completed meanwhile; the same holds for the methods below.
    async fn renew_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        lease_until: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Stores the response. `None`: the response is not kept.
    async fn store_response(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        encrypted: Option<Vec<u8>>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Releases the reservation: the request had no effect and may be sent again.
    async fn release_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
    ) -> Result<(), StoreError>;

    /// Deletes at most `limit` expired requests. Returns their number.
    async fn delete_expired_requests(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Identifies one reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservationId {
    /// Digest of the caller and of the client's key.
    pub digest: [u8; 32],
    /// Random for each reservation.
    pub salt: [u8; 16],
}

/// A request to be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The reservation.
    pub reservation: ReservationId,
    /// Digest of the request.
    pub fingerprint: [u8; 32],
    /// The server that executes the request renews its lease before this time.
    pub lease_until: Timestamp,
    /// When the request is deleted.
    pub expires_at: Timestamp,
}

/// Limits of what is stored for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Number of requests.
    pub requests: u64,
    /// Total bytes of the responses.
    pub bytes: u64,
}

/// Result of a reservation attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveResult {
    /// The request was reserved.
    Reserved,
    /// The tenant's quota is exceeded.
    QuotaExceeded,
    /// The key was used before.
    Exists(ExistingRequest),
    /// The request was reserved, and was released at the same time.
    Released,
}

/// A request with a key that was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingRequest {
    /// The reservation.
    pub reservation: ReservationId,
    /// Digest of the request.
    pub fingerprint: [u8; 32],
    /// State of the request.
    pub progress: RequestState,
}

/// State of a keyed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// Being executed, with a lease until this time. After that the request counts as interrupted.
    Running(Timestamp),
    /// Completed with this response, encrypted; `None`: the response was not kept.
    Completed(Option<Vec<u8>>),
}
