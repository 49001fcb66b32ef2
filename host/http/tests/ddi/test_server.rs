//! A running server with one tenant.

mod offers;
mod ports;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tidegate_artifacts::ArtifactStore;
use tidegate_core::{
    access::AccessSettings,
    id::{Digest, TenantId},
    settings::{DdiLinks, TenantSettings},
};
use tidegate_engine::{
    Actor, Admin, Authorized, Engine, Ports, ServerCtx, Settings, fingerprint,
    ports::{Artifacts as _, NewDevice, NewGateway, NoopObserver},
    tenants,
};
use tidegate_http::{AppState, HttpApi, HttpServer, HttpSettings, Metrics, PluginLabels};
use tidegate_store::{Options, SqlStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::ports::{CountingEntropy, ManualClock, NoSandbox};
use crate::raw_http::{Request, Response};

pub(crate) const FILE: &[u8] = b"the bytes of a firmware";
/// The `Authorization` header of the tenant's gateway.
pub(crate) const GATEWAY: &str = "GatewayToken gateway-secret";

pub(crate) struct TestServer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: TenantId,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) addr: SocketAddr,
    artifacts: Arc<ArtifactStore>,
    pub(crate) store: Arc<SqlStore>,
    pub(crate) api: HttpApi,
    pub(crate) router: Router,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    folder: tempfile::TempDir,
}

impl TestServer {
    /// A server with tenant LAB and a gateway. Devices must authenticate.
    pub(crate) async fn authenticated() -> anyhow::Result<Self> {
        Self::start(Settings::default(), |_| {}, HttpServer::default()).await
    }

    /// The same with changed settings.
    pub(crate) async fn authenticated_with(
        set: impl FnOnce(&mut HttpSettings),
        http_server: HttpServer,
    ) -> anyhow::Result<Self> {
        Self::start(Settings::default(), set, http_server).await
    }

    /// A server that accepts devices without credentials.
    pub(crate) async fn anonymous() -> anyhow::Result<Self> {
        Self::anonymous_with(|_| {}).await
    }

    /// The same with changed settings of the engine.
    pub(crate) async fn anonymous_with(set: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let mut settings = Settings {
            anonymous_devices: true,
            ..Settings::default()
        };
        set(&mut settings);
        Self::start(settings, |_| {}, HttpServer::default()).await
    }

    async fn start(
        settings: Settings,
        set: impl FnOnce(&mut HttpSettings),
        http_server: HttpServer,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options::sqlite(&folder.path().join("tidegate.db"));
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let artifacts = ArtifactStore::open_folder(folder.path().join("artifacts")).await?;
        let artifacts = Arc::new(artifacts);
        let store = Arc::new(SqlStore::open(options).await?);
        let ports = Ports {
            store: store.clone(),
            artifacts: artifacts.clone(),
            sandbox: Arc::new(NoSandbox),
            clock: clock.clone(),
            entropy: Arc::new(CountingEntropy::default()),
            observer: Arc::new(NoopObserver),
        };
        let engine = Arc::new(Engine::new(ports, settings));
        let ctx = engine.server_ctx(Actor::command_line())?;
        let tenant = tenants::create(&ctx, engine.store(), "LAB").await?.id;
        let gateway = NewGateway {
            name: "gateway".to_owned(),
            sha256: fingerprint("gateway-secret"),
            group: None,
            created_at: engine.now(),
        };
        let ctx = engine.trusted_ctx::<Admin>(tenant, Actor::command_line());
        engine.store().create_gateway(&ctx, gateway).await?;

        let mut settings = HttpSettings::new(vec![7; 32]);
        set(&mut settings);
        let metrics = Arc::new(Metrics::new(Arc::new(|| 0), PluginLabels::default())?);
        let state = AppState::new(Arc::clone(&engine), Arc::clone(&metrics), settings);
        let http_server = HttpServer {
            metrics: Some(Arc::clone(&metrics)),
            ..http_server
        };
        let shutdown = state.shutdown.clone();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let api = HttpApi::new(state);
        let router = Router::new().fallback_service(api.clone());
        let grace = Duration::from_secs(5);
        let serving = http_server.serve(listener, api.clone(), shutdown.clone(), grace);
        tokio::spawn(serving);
        Ok(Self {
            engine,
            tenant,
            clock,
            addr,
            artifacts,
            store,
            api,
            router,
            metrics,
            shutdown,
            folder,
        })
    }

    /// Serves this router too. Returns its address.
    pub(crate) async fn serve(
        &self,
        http_server: HttpServer,
        router: Router,
    ) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let grace = Duration::from_secs(5);
        let http_server = HttpServer {
            metrics: Some(Arc::clone(&self.metrics)),
            ..http_server
        };
        tokio::spawn(http_server.serve(listener, router, self.shutdown.clone(), grace));
        Ok(addr)
    }

    pub(crate) async fn send(&self, request: Request) -> anyhow::Result<Response> {
        request.send(self.addr).await
    }

    /// Deletes the file of all firmware from the artifact store, as a fault of its disk would.
    pub(crate) async fn lose_file(&self) -> anyhow::Result<()> {
        Ok(self.artifacts.delete(Digest::of(FILE).0).await?)
    }

    /// Replaces the bytes of the file of all firmware, as a fault of its disk would.
    pub(crate) fn overwrite_file(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let name = hex::encode(Digest::of(FILE).0);
        let folder = self.folder.path().join("artifacts/sha256").join(&name[..2]);
        Ok(std::fs::write(folder.join(name), bytes)?)
    }

    /// Changes the tenant's access settings.
    pub(crate) async fn change_access(
        &self,
        change: impl Fn(&mut AccessSettings),
    ) -> anyhow::Result<()> {
        self.change_settings(|settings| change(&mut settings.access))
            .await
    }

    /// Sets whether the tenant stores the addresses of devices.
    pub(crate) async fn track_address(&self, enabled: bool) -> anyhow::Result<()> {
        self.change_settings(|settings| settings.track_address = enabled)
            .await
    }

    /// Sets the names of the tenant's links to files; `None`: the server's default.
    pub(crate) async fn set_ddi_links(&self, links: Option<DdiLinks>) -> anyhow::Result<()> {
        self.change_settings(|settings| settings.ddi.links = links)
            .await
    }

    async fn change_settings(&self, change: impl Fn(&mut TenantSettings)) -> anyhow::Result<()> {
        let admin = self.ctx();
        let change = |mut settings: TenantSettings| {
            change(&mut settings);
            Ok::<_, tidegate_engine::Error>(settings)
        };
        tenants::change_settings(&admin, self.engine.store(), self.engine.caches(), change).await?;
        Ok(())
    }

    /// The context of an operator with every role.
    pub(crate) fn ctx<R>(&self) -> Authorized<R> {
        self.ctx_of(self.tenant)
    }

    pub(crate) fn server_ctx(&self) -> anyhow::Result<ServerCtx> {
        Ok(self.engine.server_ctx(Actor::command_line())?)
    }

    pub(crate) fn ctx_of<R>(&self, tenant: TenantId) -> Authorized<R> {
        self.engine.trusted_ctx(tenant, Actor::command_line())
    }

    /// Creates a device with a token.
    pub(crate) async fn put_device(&self, device_id: &str, token: &str) -> anyhow::Result<()> {
        let device = NewDevice {
            device_id: device_id.to_owned(),
            token_sha256: Some(fingerprint(token)),
            created_at: Some(self.engine.now()),
            ..NewDevice::default()
        };
        self.engine
            .store()
            .create_device(&self.ctx::<Admin>(), device)
            .await?;
        Ok(())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
