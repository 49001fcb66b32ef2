use std::sync::Arc;

use tidegate_core::time::Timestamp;
use tokio::sync::Semaphore;

use crate::{
    FileLeases, HealthRegistry, Settings, Signals,
    campaigns::UsageLog,
    devices::{AuthCache, FirmwareCache, LastSeenBuffer, ReadModel},
    ports::{Artifacts, Clock, Entropy, Observer, Sandbox, Store},
};

/// What every use case works with: the ports, and what the host remembers between requests.
pub struct Engine {
    /// The world.
    pub ports: Ports,
    /// What an operator may set.
    pub settings: Settings,
    /// What polls are answered from.
    pub read_model: ReadModel,
    /// Which tenants and gateways devices come through.
    pub auth_cache: AuthCache,
    /// Firmware that devices ask for.
    pub firmware_cache: FirmwareCache,
    /// Who was seen since the last batch was written.
    pub last_seen: LastSeenBuffer,
    /// A place for each report that waits for the store.
    pub(crate) reports: Arc<Semaphore>,
    /// What plugin calls have cost since the last batch was written.
    pub usage: UsageLog,
    /// Requests that hold files.
    pub file_leases: FileLeases,
    /// Whether the background loops still go round.
    pub health: Arc<HealthRegistry>,
    /// What wakes loops and watchers.
    pub signals: Signals,
}

/// The adapters.
#[derive(Clone)]
#[expect(missing_docs, reason = "the ports' names")]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub artifacts: Arc<dyn Artifacts>,
    pub sandbox: Arc<dyn Sandbox>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub observer: Arc<dyn Observer>,
}

impl Engine {
    /// An engine that remembers nothing yet.
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let waiting = settings.waiting_reports.min(Semaphore::MAX_PERMITS);
        Self {
            ports,
            settings,
            read_model: ReadModel::default(),
            auth_cache: AuthCache::default(),
            firmware_cache: FirmwareCache::default(),
            last_seen: LastSeenBuffer::default(),
            reports: Arc::new(Semaphore::new(waiting)),
            usage: UsageLog::default(),
            file_leases: FileLeases::default(),
            health: Arc::default(),
            signals: Signals::default(),
        }
    }

    /// Now, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.ports.store
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &dyn Sandbox {
        &*self.ports.sandbox
    }
}
