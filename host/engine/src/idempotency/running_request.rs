use std::{convert::Infallible, sync::Arc};

use tidegate_core::id::TenantId;
use tokio::time::sleep;

use super::{MAX_RESPONSE_BYTES, RETENTION, encrypt};
use crate::{
    Engine, Result,
    ports::{ReservationId, StoreError},
};

/// A request that is being done. Whoever drops it without a word leaves a key that is spent, for nobody knows how far
/// the request came.
pub struct RunningRequest {
    engine: Arc<Engine>,
    tenant: TenantId,
    reservation: ReservationId,
    key: String,
}

impl RunningRequest {
    pub(super) fn new(
        engine: Arc<Engine>,
        tenant: TenantId,
        reservation: ReservationId,
        key: String,
    ) -> Self {
        Self {
            engine,
            tenant,
            reservation,
            key,
        }
    }

    /// Says again and again that the request is being done, for as long as this is polled.
    pub async fn renew_lease(&self) -> Infallible {
        let lease = self.engine.settings.lease;
        loop {
            sleep(lease / 4).await;
            let now = self.engine.now();
            let (until, expires_at) = (now.plus(lease), now.plus(RETENTION));
            let store = self.engine.store();
            let renewed = store.renew_request(self.tenant, self.reservation, until, expires_at);
            warn(renewed.await.map_err(Into::into), "renew it");
        }
    }

    /// It was done, and this is answered, now and whenever it is sent again.
    pub async fn complete(self, response: Vec<u8>) {
        warn(self.store_response(response).await, "keep its answer");
    }

    /// It was refused and nothing was done: it may be sent again.
    pub async fn release(self) {
        let store = self.engine.store();
        let released = store.release_request(self.tenant, self.reservation).await;
        warn(released.map_err(Into::into), "give it back");
    }

    /// It ended, and nobody knows how far it came.
    pub async fn mark_interrupted(self) {
        let now = self.engine.now();
        let store = self.engine.store();
        let expired = store.renew_request(self.tenant, self.reservation, now, now.plus(RETENTION));
        warn(expired.await.map_err(Into::into), "end it");
    }

    async fn store_response(&self, response: Vec<u8>) -> Result<()> {
        let encrypted = if response.len() > MAX_RESPONSE_BYTES {
            None
        } else {
            Some(encrypt::encrypt(&self.key, self.reservation, response)?)
        };
        let expires_at = self.engine.now().plus(RETENTION);
        let store = self.engine.store();
        let stored = store.store_response(self.tenant, self.reservation, encrypted, expires_at);
        stored.await.map_err(|error: StoreError| error.into())
    }
}

/// The request itself has its answer, whatever becomes of the key.
fn warn(outcome: Result<()>, what: &'static str) {
    if let Err(error) = outcome {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a request came with a key; cannot {what}");
    }
}
