//! Idempotency keys: a request with a key is executed once, and repetitions get the stored response.
//!
//! The key is reserved in the database before the request is executed, so that only one of several concurrent requests
//! runs, also across servers. The server renews the lease of the reservation while the request runs. If the lease
//! expires, the result is unknown and the key cannot be used again. A response may contain a secret that is shown only
//! once, so it is encrypted with the client's key, which is not stored.

mod encrypt;
mod reserve;
mod running_request;

use std::{sync::Arc, time::Duration};

use tidegate_core::time::Timestamp;

use crate::{
    Ports, Result, Settings,
    ports::{Clock, Entropy, Quota, Store},
};

pub use reserve::{Reservation, reserve};
pub use running_request::RunningRequest;

/// How long a response is stored.
const RETENTION: Duration = Duration::from_hours(24);
/// Maximum number of expired requests deleted per transaction.
const EXPIRED_BATCH_SIZE: u32 = 500;
/// Maximum size of a stored response, in bytes: a bulk update of ten thousand devices fits.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// The stored requests of one tenant.
const QUOTA: Quota = Quota {
    requests: 100_000,
    bytes: 256 << 20,
};

/// What keyed requests need. Cheap to clone.
#[derive(Clone)]
pub struct IdempotencyKeys {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// How long a reservation lasts unless it is renewed.
    lease: Duration,
}

impl IdempotencyKeys {
    pub(crate) fn new(ports: &Ports, settings: &Settings) -> Self {
        Self {
            store: Arc::clone(&ports.store),
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            lease: settings.lease,
        }
    }
}

/// Deletes requests whose retention has ended.
pub(crate) async fn delete_expired(store: &dyn Store, now: Timestamp) -> Result<()> {
    let batch = EXPIRED_BATCH_SIZE;
    while store.delete_expired_requests(now, batch).await? >= u64::from(batch) {}
    Ok(())
}
