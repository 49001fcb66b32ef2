use std::convert::Infallible;

use tidegate_core::id::TenantId;
use tokio::time::sleep;

use super::{IdempotencyKeys, MAX_RESPONSE_BYTES, RETENTION, encrypt};
use crate::{
    Result, chain,
    ports::{ReservationId, StoreError},
};

/// A running request with a key. If it is dropped without a result, the key cannot be used again, because the result is
/// unknown.
pub struct RunningRequest {
    keys: IdempotencyKeys,
    tenant: TenantId,
    reservation: ReservationId,
    key: String,
}

impl RunningRequest {
    pub(super) fn new(
        keys: IdempotencyKeys,
        tenant: TenantId,
        reservation: ReservationId,
        key: String,
    ) -> Self {
        Self {
            keys,
            tenant,
            reservation,
            key,
        }
    }

    /// Renews the lease for as long as this future is polled.
    pub async fn renew_lease(&self) -> Infallible {
        let lease = self.keys.lease;
        loop {
            sleep(lease / 4).await;
            let now = self.keys.clock.now();
            let (until, expires_at) = (now.plus(lease), now.plus(RETENTION));
            let store = &self.keys.store;
            let renewed = store.renew_request(self.tenant, self.reservation, until, expires_at);
            warn(renewed.await.map_err(Into::into), "renew lease");
        }
    }

    /// Stores the response for repetitions.
    pub async fn complete(self, response: Vec<u8>) {
        warn(self.store_response(response).await, "store response");
    }

    /// Releases the key after a request that changed nothing; the key may be used again.
    pub async fn release(self) {
        let store = &self.keys.store;
        let released = store.release_request(self.tenant, self.reservation).await;
        warn(released.map_err(Into::into), "release key");
    }

    /// Ends the lease of a request whose result is unknown.
    pub async fn mark_interrupted(self) {
        let now = self.keys.clock.now();
        let store = &self.keys.store;
        let expired = store.renew_request(self.tenant, self.reservation, now, now.plus(RETENTION));
        warn(expired.await.map_err(Into::into), "end lease");
    }

    async fn store_response(&self, response: Vec<u8>) -> Result<()> {
        let encrypted = if response.len() > MAX_RESPONSE_BYTES {
            None
        } else {
            Some(encrypt::encrypt(&self.key, self.reservation, response)?)
        };
        let expires_at = self.keys.clock.now().plus(RETENTION);
        let store = &self.keys.store;
        let stored = store.store_response(self.tenant, self.reservation, encrypted, expires_at);
        stored.await.map_err(|error: StoreError| error.into())
    }
}

/// Logs a failure; the request has its response regardless.
fn warn(outcome: Result<()>, operation: &'static str) {
    if let Err(error) = outcome {
        tracing::warn!(error = %chain(&error), operation, "idempotency key not updated");
    }
}
