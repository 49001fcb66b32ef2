//! The composition root: the only place that sees every crate.

mod data_folder;
mod host;

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream::BoxStream};
use tidegate_engine::{
    Engine, Settings, access, campaigns, devices, keep_house, latest, plugins,
    ports::{Clock, Entropy},
    tenants,
};
use tidegate_http::{AppState, HttpSettings, Serving, Tls};
use tidegate_sandbox::CompilerCommand;
use tidegate_store::{DeviceChange, SqlStore};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ambient::{SystemClock, SystemEntropy},
    config::Config,
    secret,
};

pub use host::Host;

/// How long requests have to finish once the server stops.
const GRACE: Duration = Duration::from_secs(30);
/// How often the files of the server's certificate are looked at.
const TLS_PERIOD: Duration = Duration::from_secs(10);
/// Where the components that come with the host are when they are not beside the program.
const SHARED_COMPONENTS: &str = "/usr/share/tidegate/components";

/// What is around a server: tests put their own in its place.
#[derive(Clone)]
pub struct Surroundings {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Starts the process that compiles. Its default is the running program, which is right for
    /// `tidegate` alone.
    pub compiler: CompilerCommand,
    /// Shortest time between two looks at one campaign.
    pub tick_pause: Duration,
    /// Longest time between two looks at the list of campaigns and deadlines.
    pub tick_period: Duration,
}

impl Default for Surroundings {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            compiler: CompilerCommand::default(),
            tick_pause: settings.tick_pause,
            tick_period: settings.tick_period,
        }
    }
}

/// Starts servers.
pub struct App;

impl App {
    /// Starts a server: it listens when this returns.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<RunningApp> {
        data_folder::make(&config)?;
        let occupied = data_folder::occupy(&config)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listen on {}", config.listen))?;
        let addr = listener.local_addr().context("read the address")?;
        let folder = components_folder(&config)?;
        let http = http_settings(&config, &*surroundings.entropy)?;
        let tls = config.tls.settings()?.map(Tls::open).transpose()?;
        let host = Host::open(&config, surroundings).await?;
        let bootstrap = tenants::bootstrap(&host.engine)
            .await
            .context("make the first tenant")?;
        install_builtins(&host.engine, &folder).await?;

        let state = AppState::new(Arc::clone(&host.engine), host.metrics, http);
        let stopping = state.stopping.clone();
        let router = tidegate_http::router(state);
        let mut loops = loops(&host.engine, &host.store);
        if let Some(tls) = tls.clone() {
            loops.spawn(reload(tls));
        }
        let serving = Serving {
            tls,
            connections: config.limits.connections,
            silence: config.limits.answer_silence.0,
        };
        let serving = serving.serve(listener, router, stopping.clone(), GRACE);
        let serving = tokio::spawn(serving);
        Ok(RunningApp {
            addr,
            first_key: bootstrap.admin_key,
            reconciling: tokio::spawn(campaigns::reconcile(Arc::clone(&host.engine))),
            loops,
            engine: host.engine,
            store: host.store,
            _occupied: occupied,
            stopping,
            serving,
        })
    }
}

/// A server that runs. Dropping it stops it at once; [`RunningApp::shutdown`] is the polite way.
pub struct RunningApp {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The first admin's key, at the first start only: it is stored hashed, so this is the only
    /// time to see it.
    pub first_key: Option<String>,
    /// Its use cases, for whoever runs it in process.
    pub engine: Arc<Engine>,
    store: Arc<SqlStore>,
    /// Holds the data folder's lock.
    _occupied: File,
    stopping: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    reconciling: JoinHandle<()>,
    loops: JoinSet<()>,
}

impl RunningApp {
    /// Takes no more connections, finishes what was accepted, and writes what is gathered in
    /// memory.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stopping.cancel();
        self.engine.signals.stop();
        let served = (&mut self.serving).await;
        if tokio::time::timeout(GRACE, &mut self.reconciling)
            .await
            .is_err()
        {
            tracing::warn!("campaigns were still being looked at after {GRACE:?}");
        }
        self.loops.shutdown().await;
        let seen = devices::flush_seen(&self.engine).await;
        let used = access::flush_gateways_used(&self.engine).await;
        let usage = campaigns::flush_usage(&self.engine).await;
        self.store.close().await;
        served.context("serve")?.context("serve")?;
        seen.context("write when devices were last seen")?;
        used.context("write when gateways were last used")?;
        usage.context("write what plugins cost")
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.serving.abort();
        self.reconciling.abort();
    }
}

fn http_settings(config: &Config, entropy: &dyn Entropy) -> Result<HttpSettings> {
    let secret = match &config.auth.secret {
        Some(secret) => secret.clone().into_bytes(),
        None => secret::read_or_draw(&config.data_dir, entropy)?,
    };
    let mut settings = HttpSettings::new(secret);
    settings.dev = config.dev;
    settings.max_component_bytes = config.sandbox.limits().component_bytes;
    settings.proxies = config.http.proxies()?;
    settings.certificate_headers = config.http.certificate_headers()?;
    settings.limits = config.limits.settings();
    Ok(settings)
}

/// Installs the components that come with the host, for every tenant.
pub(crate) async fn install_builtins(engine: &Engine, folder: &Path) -> Result<()> {
    let installed = plugins::install_builtins(engine, folder)
        .await
        .with_context(|| format!("install the components in {}", folder.display()))?;
    tracing::info!(installed, folder = %folder.display(), "plugins that come with the server");
    Ok(())
}

/// The folder of the components that come with the host.
pub(crate) fn components_folder(config: &Config) -> Result<PathBuf> {
    if let Some(named) = &config.components {
        return Ok(named.clone());
    }
    let program = std::env::current_exe().ok();
    let beside = program.and_then(|program| Some(program.parent()?.join("components")));
    [beside, Some(PathBuf::from(SHARED_COMPONENTS))]
        .into_iter()
        .flatten()
        .find(|folder| folder.is_dir())
        .ok_or_else(|| {
            anyhow!(
                "there is no folder `components` beside this program and no {SHARED_COMPONENTS}: \
                 name one with --components"
            )
        })
}

/// What goes on beside campaigns without being asked.
fn loops(engine: &Arc<Engine>, store: &SqlStore) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    loops.spawn(campaigns::deadlines(Arc::clone(engine)));
    loops.spawn(devices::keep_seen(Arc::clone(engine)));
    loops.spawn(latest::keep_latest(Arc::clone(engine)));
    loops.spawn(keep_house(Arc::clone(engine)));
    loops.spawn(follow(Arc::clone(engine), store.changes()));
    loops
}

/// Shows the server's certificate anew when its files change.
async fn reload(tls: Tls) {
    loop {
        tokio::time::sleep(TLS_PERIOD).await;
        match tls.reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!("the server's certificate was read again"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the server's new certificate cannot be used; the old one stays"
                );
            }
        }
    }
}

/// Forgets what other hosts changed.
async fn follow(engine: Arc<Engine>, mut changes: BoxStream<'static, DeviceChange>) {
    // Other hosts may be silent for as long as they like.
    let _pulse = engine.loops.watch("changes of other hosts", Duration::MAX);
    while let Some(change) = changes.next().await {
        match change {
            DeviceChange::Device { tenant, device_id } => {
                devices::forget_device(&engine, tenant, &device_id);
            }
            DeviceChange::Tenant(_) => devices::forget_tenants(&engine),
            DeviceChange::Lost => devices::forget_all(&engine),
        }
    }
}
