use async_trait::async_trait;
use tidegate_core::{id::TenantId, time::Timestamp};

use super::StoreError;

/// Requests that their clients named with a key, and what was answered to them.
#[async_trait]
pub trait KeyedRequests: Send + Sync {
    /// Reserves a request for whoever is about to do it, unless somebody has it already, or the tenant has no room left.
    async fn reserve_request(
        &self,
        tenant: TenantId,
        request: NewRequest,
        quota: Quota,
        now: Timestamp,
    ) -> Result<ReserveResult, StoreError>;

    /// The request still runs, until then at least; a time that is over says that nobody does it any more. Nothing
    /// happens when the reservation is another's by now, or was answered; the same holds for the other methods.
    async fn renew_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        lease_until: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The request was answered. None: its answer is not kept.
    async fn store_response(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
        encrypted: Option<Vec<u8>>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The request was refused: it may come again.
    async fn release_request(
        &self,
        tenant: TenantId,
        reservation: ReservationId,
    ) -> Result<(), StoreError>;

    /// Forgets requests whose time is up, so many at most; answers how many.
    async fn delete_expired_requests(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Names one reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservationId {
    /// Of who asks and of the client's key.
    pub digest: [u8; 32],
    /// Drawn for each reservation.
    pub salt: [u8; 16],
}

/// A request to be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The reservation.
    pub reservation: ReservationId,
    /// Of what is asked.
    pub fingerprint: [u8; 32],
    /// Whoever does it says so again before then.
    pub lease_until: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// How much a tenant may have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests.
    pub requests: u64,
    /// Bytes of their answers.
    pub bytes: u64,
}

/// What became of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveResult {
    /// It is made.
    Reserved,
    /// The tenant has no room left.
    QuotaExceeded,
    /// Somebody has it already.
    Exists(ExistingRequest),
    /// Somebody had it, and gave it back at this moment.
    Released,
}

/// A request that somebody has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingRequest {
    /// The reservation.
    pub reservation: ReservationId,
    /// Of what was asked.
    pub fingerprint: [u8; 32],
    /// How far it is.
    pub progress: RequestState,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// Whoever does it says so again before then; later, nobody does it any more.
    Running(Timestamp),
    /// It was answered with this, which is sealed; none: the answer is not kept.
    Completed(Option<Vec<u8>>),
}
