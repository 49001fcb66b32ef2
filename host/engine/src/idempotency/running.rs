use std::{convert::Infallible, sync::Arc};

use tidegate_core::id::TenantId;
use tokio::time::sleep;

use super::{KEPT, LARGEST, seal};
use crate::{
    Engine, Result,
    ports::{StoreError, Ticket},
};

/// A request that is being done. Whoever drops it without a word leaves a key that is spent, for nobody knows how far
/// the request came.
pub struct Running {
    engine: Arc<Engine>,
    tenant: TenantId,
    ticket: Ticket,
    key: String,
}

impl Running {
    pub(super) fn new(engine: Arc<Engine>, tenant: TenantId, ticket: Ticket, key: String) -> Self {
        Self {
            engine,
            tenant,
            ticket,
            key,
        }
    }

    /// Says again and again that the request is being done, for as long as this is polled.
    pub async fn keep_alive(&self) -> Infallible {
        let lease = self.engine.settings.lease;
        loop {
            sleep(lease / 4).await;
            let now = self.engine.now();
            let (until, forget_at) = (now.plus(lease), now.plus(KEPT));
            let store = self.engine.store();
            let renewed = store.renew_request(self.tenant, self.ticket, until, forget_at);
            warn(renewed.await.map_err(Into::into), "renew it");
        }
    }

    /// It was done, and this is answered, now and whenever it is sent again.
    pub async fn answered(self, answer: Vec<u8>) {
        warn(self.keep(answer).await, "keep its answer");
    }

    /// It was refused and nothing was done: it may be sent again.
    pub async fn refused(self) {
        let store = self.engine.store();
        let given_back = store.give_request_back(self.tenant, self.ticket).await;
        warn(given_back.map_err(Into::into), "give it back");
    }

    /// It ended, and nobody knows how far it came.
    pub async fn failed(self) {
        let now = self.engine.now();
        let store = self.engine.store();
        let ended = store.renew_request(self.tenant, self.ticket, now, now.plus(KEPT));
        warn(ended.await.map_err(Into::into), "end it");
    }

    async fn keep(&self, answer: Vec<u8>) -> Result<()> {
        let sealed = if answer.len() > LARGEST {
            None
        } else {
            Some(seal::seal(&self.key, self.ticket, answer)?)
        };
        let forget_at = self.engine.now().plus(KEPT);
        let store = self.engine.store();
        let kept = store.keep_answer(self.tenant, self.ticket, sealed, forget_at);
        kept.await.map_err(|error: StoreError| error.into())
    }
}

/// The request itself has its answer, whatever becomes of the key.
fn warn(outcome: Result<()>, what: &'static str) {
    if let Err(error) = outcome {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a request came with a key; cannot {what}");
    }
}
