use std::sync::Arc;

use tidegate_core::{id::TenantId, time::Timestamp};
use tokio::sync::Semaphore;

use crate::{
    Actor, Authorized, Ctx, FileLeases, HealthRegistry, Settings, Signals,
    ctx::draw_request_id,
    devices::{AuthCache, FirmwareCache, LastSeenBuffer, ReadModel},
    plugins::PluginCalls,
    ports::{Artifacts, Clock, Entropy, NewTenant, Observer, Role, Sandbox, Store},
};

/// The ports, and the server's state between requests.
pub struct Engine {
    /// The adapters.
    pub(crate) ports: Ports,
    /// Settings from the configuration.
    pub(crate) settings: Settings,
    /// Cache that answers polls.
    pub(crate) read_model: ReadModel,
    /// Cache of tenants, gateways and device authorities for authentication.
    pub(crate) auth_cache: AuthCache,
    /// Cache of the firmware that devices request.
    pub(crate) firmware_cache: FirmwareCache,
    /// Last-seen times that are not written yet.
    pub(crate) last_seen: LastSeenBuffer,
    /// One permit for each device report that may wait for the store.
    pub(crate) reports: Arc<Semaphore>,
    /// Calls plugins.
    pub(crate) plugins: PluginCalls,
    /// Numbers the requests that lease files.
    pub(crate) file_leases: FileLeases,
    /// Health of the background loops.
    pub(crate) health: Arc<HealthRegistry>,
    /// Wakes loops and watchers.
    pub(crate) signals: Signals,
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
    /// An engine with empty caches.
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let plugins = PluginCalls::new(Arc::clone(&ports.sandbox), Arc::clone(&ports.observer));
        let waiting = settings.waiting_reports.min(Semaphore::MAX_PERMITS);
        Self {
            ports,
            settings,
            read_model: ReadModel::default(),
            auth_cache: AuthCache::default(),
            firmware_cache: FirmwareCache::default(),
            last_seen: LastSeenBuffer::default(),
            reports: Arc::new(Semaphore::new(waiting)),
            plugins,
            file_leases: FileLeases::default(),
            health: Arc::default(),
            signals: Signals::default(),
        }
    }

    /// The current time of the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The context of a request that does not come from outside: of the command line, whose operator has access to the
    /// database, or of the server itself.
    pub fn trusted_ctx<R>(&self, tenant: TenantId, actor: Actor) -> Authorized<R> {
        Authorized::trusted(Ctx {
            tenant,
            actor,
            role: Role::Admin,
            request_id: draw_request_id(&*self.ports.entropy),
            now: self.now(),
        })
    }

    /// A tenant to be created; there is no context before.
    pub(crate) fn new_tenant(&self, name: String, created_by: Actor) -> NewTenant {
        NewTenant {
            name,
            created_by,
            request_id: draw_request_id(&*self.ports.entropy),
            created_at: self.now(),
        }
    }

    /// The database.
    pub fn store(&self) -> &dyn Store {
        &*self.ports.store
    }

    /// Secure randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.ports.entropy
    }

    /// Settings from the configuration.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Wakes loops and watchers.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Health of the background loops.
    pub fn health(&self) -> &Arc<HealthRegistry> {
        &self.health
    }

    /// Calls plugins.
    pub fn plugins(&self) -> &PluginCalls {
        &self.plugins
    }
}
