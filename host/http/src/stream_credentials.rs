use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tidegate_engine::{
    Engine, chain, task_span,
    tenants::{self, ActorCredential},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Interval of the checks. A stream ends at most this time after its credential, and the duration of one query.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The credentials of the open event streams. One task checks them all with one query, while any stream is open: a key
/// may be revoked by another process.
#[derive(Default)]
pub(crate) struct StreamCredentials(Arc<Mutex<OpenCredentials>>);

#[derive(Default)]
struct OpenCredentials {
    /// Cancelled when the credential ends, dropped with its last stream.
    streams: HashMap<ActorCredential, Weak<CancellationToken>>,
    /// Whether the task runs.
    is_checking: bool,
}

impl StreamCredentials {
    /// Adds a stream. The result is cancelled when the credential ends, and must live as long as the stream.
    pub(crate) fn register(
        &self,
        engine: &Arc<Engine>,
        credential: ActorCredential,
    ) -> Arc<CancellationToken> {
        let mut open = self.0.lock();
        let entry = open.streams.entry(credential).or_default();
        let ended = entry.upgrade().unwrap_or_default();
        *entry = Arc::downgrade(&ended);
        if !open.is_checking {
            open.is_checking = true;
            let checking = check_loop(Arc::clone(&self.0), Arc::clone(engine));
            tokio::spawn(checking.instrument(task_span("event stream credentials")));
        }
        ended
    }
}

async fn check_loop(open: Arc<Mutex<OpenCredentials>>, engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let credentials = {
            let mut open = open.lock();
            open.streams.retain(|_, ended| ended.strong_count() > 0);
            if open.streams.is_empty() {
                open.is_checking = false;
                return;
            }
            open.streams.keys().cloned().collect::<Vec<_>>()
        };
        let ended = tenants::ended_credentials(engine.store(), credentials.clone(), engine.now());
        let ended = ended.await.unwrap_or_else(|error| {
            // Clients reconnect, and are authenticated again.
            tracing::warn!(error = %chain(&error), "cannot check the credentials of event streams");
            credentials
        });
        let mut open = open.lock();
        for credential in &ended {
            let stream = open.streams.remove(credential);
            if let Some(stream) = stream.and_then(|stream| stream.upgrade()) {
                stream.cancel();
            }
        }
    }
}
