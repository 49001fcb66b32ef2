//! The composition root: the only place that sees every crate.

mod context;
mod data_folder;

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
    Engine, Settings, access, campaigns, devices, latest, plugins,
    ports::{Clock, Entropy},
    run_gc, tenants,
};
use tidegate_http::{AppState, HttpServer, HttpSettings, Tls};
use tidegate_sandbox::CompilerCommand;
use tidegate_store::{Invalidation, SqlStore};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    secret,
    system_clock::{SystemClock, SystemEntropy},
};

pub use context::AppContext;

/// How long requests have to finish once the server stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How often the files of the server's certificate are looked at.
const TLS_RELOAD_PERIOD: Duration = Duration::from_secs(10);
/// Where the components that come with the host are when they are not beside the program.
const SHARED_COMPONENTS: &str = "/usr/share/tidegate/components";

/// What is around a server: tests put their own in its place.
#[derive(Clone)]
pub struct Environment {
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

impl Default for Environment {
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
    pub async fn start(config: Config, environment: Environment) -> Result<RunningApp> {
        data_folder::create(&config)?;
        let data_dir_lock = data_folder::lock(&config)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listen on {}", config.listen))?;
        let addr = listener.local_addr().context("read the address")?;
        let folder = components_folder(&config)?;
        let http = http_settings(&config, &*environment.entropy)?;
        let tls = config.tls.settings()?.map(Tls::open).transpose()?;
        let context = AppContext::open(&config, environment).await?;
        let bootstrap = tenants::bootstrap(&context.engine)
            .await
            .context("make the first tenant")?;
        install_builtins(&context.engine, &folder).await?;

        let state = AppState::new(Arc::clone(&context.engine), context.metrics, http);
        let shutdown = state.shutdown.clone();
        let router = tidegate_http::router(state);
        let mut loops = spawn_loops(&context.engine, &context.store);
        if let Some(tls) = tls.clone() {
            loops.spawn(reload_tls_loop(tls));
        }
        let serving = HttpServer {
            tls,
            max_connections: config.limits.connections,
            write_idle_timeout: config.limits.answer_silence.0,
        };
        let serving = serving.serve(listener, router, shutdown.clone(), SHUTDOWN_GRACE);
        let serving = tokio::spawn(serving);
        Ok(RunningApp {
            addr,
            first_key: bootstrap.admin_key,
            campaign_loop: tokio::spawn(campaigns::reconcile(Arc::clone(&context.engine))),
            loops,
            engine: context.engine,
            store: context.store,
            _data_dir_lock: data_dir_lock,
            shutdown,
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
    _data_dir_lock: File,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    campaign_loop: JoinHandle<()>,
    loops: JoinSet<()>,
}

impl RunningApp {
    /// Takes no more connections, finishes what was accepted, and writes what is gathered in
    /// memory.
    pub async fn shutdown(mut self) -> Result<()> {
        self.shutdown.cancel();
        self.engine.signals.stop();
        let served = (&mut self.serving).await;
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut self.campaign_loop)
            .await
            .is_err()
        {
            tracing::warn!("campaigns were still being looked at after {SHUTDOWN_GRACE:?}");
        }
        self.loops.shutdown().await;
        let last_seen = devices::flush_last_seen(&self.engine).await;
        let used = access::flush_gateways_used(&self.engine).await;
        let usage = campaigns::flush_usage(&self.engine).await;
        self.store.close().await;
        served.context("serve")?.context("serve")?;
        last_seen.context("write when devices were last seen")?;
        used.context("write when gateways were last used")?;
        usage.context("write what plugins cost")
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.serving.abort();
        self.campaign_loop.abort();
    }
}

fn http_settings(config: &Config, entropy: &dyn Entropy) -> Result<HttpSettings> {
    let secret = match &config.auth.secret {
        Some(secret) => secret.clone().into_bytes(),
        None => secret::read_or_generate(&config.data_dir, entropy)?,
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
    if let Some(folder) = &config.components {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().ok();
    let next_to_program = program.and_then(|program| Some(program.parent()?.join("components")));
    [next_to_program, Some(PathBuf::from(SHARED_COMPONENTS))]
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
fn spawn_loops(engine: &Arc<Engine>, store: &SqlStore) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    loops.spawn(campaigns::expire_updates_loop(Arc::clone(engine)));
    loops.spawn(devices::flush_last_seen_loop(Arc::clone(engine)));
    loops.spawn(latest::run_latest_loop(Arc::clone(engine)));
    loops.spawn(run_gc(Arc::clone(engine)));
    loops.spawn(invalidate_changed(
        Arc::clone(engine),
        store.invalidations(),
    ));
    loops
}

/// Shows the server's certificate anew when its files change.
async fn reload_tls_loop(tls: Tls) {
    loop {
        tokio::time::sleep(TLS_RELOAD_PERIOD).await;
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
async fn invalidate_changed(engine: Arc<Engine>, mut changes: BoxStream<'static, Invalidation>) {
    // Other hosts may be silent for as long as they like.
    let _heartbeat = engine
        .health
        .register_loop("changes of other hosts", Duration::MAX);
    while let Some(change) = changes.next().await {
        match change {
            Invalidation::Device { tenant, device_id } => {
                devices::invalidate_device(&engine, tenant, &device_id);
            }
            Invalidation::Tenant(_) => devices::invalidate_tenants(&engine),
            Invalidation::Everything => devices::invalidate_all(&engine),
        }
    }
}
