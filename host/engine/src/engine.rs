use std::sync::Arc;

use tidegate_core::{id::TenantId, time::Timestamp};

use crate::{
    Actor, Authorized, Caches, ClusterClock, Ctx, Error, Files, HealthRegistry, PluginCalls, Ports,
    Result, Role, ServerCtx, Settings, Signals, UpdateWriter,
    file_fetches::FileFetches,
    idempotency::IdempotencyKeys,
    interruptions::Interruptions,
    ports::{Entropy, Store},
};

/// The ports, and the server's state between requests. Loops and the requests of devices have all of it; a use case of
/// an actor is handed the parts that it needs.
pub struct Engine {
    /// The adapters.
    pub(crate) ports: Ports,
    /// The clock of `ports`.
    pub(crate) clock: Arc<ClusterClock>,
    /// Settings from the configuration.
    pub(crate) settings: Settings,
    /// The caches that answer and authenticate devices.
    pub(crate) caches: Arc<Caches>,
    /// What devices are fetching.
    pub(crate) file_fetches: FileFetches,
    /// Writes reports and single updates.
    pub(crate) update_writer: UpdateWriter,
    /// Calls plugins.
    pub(crate) plugins: PluginCalls,
    /// The stored files.
    pub(crate) files: Files,
    /// The keys of requests.
    pub(crate) idempotency_keys: IdempotencyKeys,
    /// What interrupts the reports of devices.
    pub(crate) interruptions: Interruptions,
    /// Health of the background loops.
    pub(crate) health: Arc<HealthRegistry>,
    /// Wakes loops and watchers.
    pub(crate) signals: Arc<Signals>,
}

impl Engine {
    /// An engine with empty caches.
    pub fn new(mut ports: Ports, settings: Settings) -> Self {
        let clock = Arc::new(ClusterClock::new(Arc::clone(&ports.clock)));
        ports.clock = Arc::clone(&clock) as _;
        let (caches, signals) = (Arc::<Caches>::default(), Arc::<Signals>::default());
        let update_writer =
            UpdateWriter::new(&ports, Arc::clone(&caches), Arc::clone(&signals), &settings);
        Self {
            plugins: PluginCalls::new(&ports, &settings),
            files: Files::new(&ports, &settings),
            idempotency_keys: IdempotencyKeys::new(&ports, &settings),
            ports,
            clock,
            settings,
            caches,
            file_fetches: FileFetches::default(),
            update_writer,
            interruptions: Interruptions::default(),
            health: Arc::default(),
            signals,
        }
    }

    /// Corrects the engine's clock to the one of the database.
    pub async fn synchronize_clock(&self) {
        self.clock
            .synchronize(self.store(), &*self.ports.observer)
            .await;
    }

    /// Corrects the engine's clock periodically, until it is dropped.
    pub async fn synchronize_clock_loop(self: Arc<Self>) {
        self.clock
            .run_loop(self.store(), &*self.ports.observer, &self.health)
            .await;
    }

    /// The current time of the engine's clock, which all servers of the database share.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// A new request id: 16 random bytes in hexadecimal digits.
    pub fn draw_request_id(&self) -> Arc<str> {
        let mut bytes = [0; 16];
        self.ports.entropy.fill(&mut bytes);
        hex::encode(bytes).into()
    }

    /// The context of a request that does not come from outside: of the command line, whose operator has access to the
    /// database, or of the server itself.
    pub fn trusted_ctx<R>(&self, tenant: TenantId, actor: Actor) -> Authorized<R> {
        Authorized::trusted(Ctx {
            tenant,
            actor,
            role: Role::Admin,
            request_id: self.draw_request_id(),
            now: self.now(),
        })
    }

    /// The context of a request that concerns the whole server. Fails unless the actor is the command line or the server
    /// itself.
    pub fn server_ctx(&self, actor: Actor) -> Result<ServerCtx> {
        let ctx = ServerCtx::new(actor, self.draw_request_id(), self.now());
        ctx.ok_or_else(|| Error::Forbidden {
            code: "role_missing",
            message: "this requires the command line on the server's machine".to_owned(),
        })
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

    /// Why this server cannot do its work: a background loop, or the database. `None`: it can.
    pub fn unhealthy_reason(&self) -> Option<String> {
        let of_loops = self.health.unhealthy_reason();
        of_loops
            .or_else(|| self.store().unhealthy_reason())
            .or_else(|| self.clock.unhealthy_reason())
    }

    /// Writes reports and single updates.
    pub fn update_writer(&self) -> &UpdateWriter {
        &self.update_writer
    }

    /// The caches that answer and authenticate devices.
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// The stored files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The keys of requests.
    pub fn idempotency_keys(&self) -> &IdempotencyKeys {
        &self.idempotency_keys
    }

    /// Calls plugins.
    pub fn plugins(&self) -> &PluginCalls {
        &self.plugins
    }
}
