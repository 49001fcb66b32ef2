//! The composition root: the only module that depends on every crate.

mod context;
mod data_folder;
mod open_files;
mod private_files;

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, future::OptionFuture, stream::BoxStream};
use tidegate_engine::{
    BuiltIns, Engine, Error, Settings, access, campaigns, chain, devices, latest, plugins,
    ports::{Clock, Entropy},
    run_gc, tenants,
};
use tidegate_http::{AppState, HttpApi, HttpServer, HttpSettings, Tls};
use tidegate_sandbox::ChildCommand;
use tidegate_store::{Invalidation, SqlStore};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{field::display, level_filters::LevelFilter};

use crate::{
    config::Config,
    secret, span_export,
    system_clock::{SystemClock, SystemEntropy},
};

pub use context::AppContext;
pub(crate) use private_files::create_private_files;

/// How often the files of the server's certificate are checked for changes.
const TLS_RELOAD_PERIOD: Duration = Duration::from_secs(10);
/// Maximum number of concurrent connections to the address of metrics.
const MAX_METRICS_CONNECTIONS: usize = 100;
/// Where the built-in components are installed if they are not next to the program.
const SHARED_COMPONENTS: &str = "/usr/share/tidegate/components";

/// Maximum number of clients that wait to be accepted. The system may allow fewer.
const BACKLOG: u32 = 4096;

/// External dependencies of a server, which tests replace.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness for secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Starts the sandbox's child processes. The default runs the current program, which is correct only for
    /// `tidegate` itself.
    pub child_command: ChildCommand,
    /// The built-in plugins. The default are those that this program was built with.
    pub built_ins: BuiltIns,
    /// Minimum time between two ticks of a campaign.
    pub tick_pause: Duration,
    /// Maximum time between two checks for due campaigns and deadlines.
    pub tick_period: Duration,
    /// Reads the number of log lines that could not be written.
    pub dropped_log_lines: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Also speaks the draft of version 1.1 of the plugin contract, which exists for tests.
    #[cfg(feature = "draft-contract")]
    pub speaks_draft: bool,
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As `TcpListener::bind`: a new server need not wait for the connections of the last one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The plugins that this program was built with.
fn built_ins() -> BuiltIns {
    let list = include_str!(concat!(env!("OUT_DIR"), "/built_ins"));
    BuiltIns::parse(list).expect("a test reads the list")
}

impl Default for Environment {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            child_command: ChildCommand::default(),
            built_ins: built_ins(),
            tick_pause: settings.tick_pause,
            tick_period: settings.tick_period,
            dropped_log_lines: Arc::new(|| 0),
            #[cfg(feature = "draft-contract")]
            speaks_draft: false,
        }
    }
}

/// Starts servers.
pub struct App;

impl App {
    /// Starts a server; it accepts connections when this returns.
    pub async fn start(config: Config, environment: Environment) -> Result<RunningApp> {
        config.check_dev()?;
        private_files::warn_of_readable_secrets(&config);
        open_files::raise_limit(config.limits.connections);
        data_folder::create(&config)?;
        let data_dir_lock = data_folder::lock(&config)?;
        let listener = listen(config.listen);
        let listener = listener.with_context(|| format!("listen on {}", config.listen))?;
        let addr = listener.local_addr().context("read the listen address")?;
        let metrics_listener = listen_for_metrics(&config).await?;
        let metrics_addr = metrics_listener.as_ref().map(TcpListener::local_addr);
        let metrics_addr = metrics_addr
            .transpose()
            .context("read the listen address of metrics")?;
        let folder = components_folder(&config)?;
        let http = http_settings(&config, &*environment.entropy)?;
        let tls = config.tls.settings()?.map(Tls::open).transpose()?;
        let context = AppContext::open(&config, environment).await?;
        let bootstrap = tenants::bootstrap(&context.engine)
            .await
            .context("create the default tenant")?;
        let are_built_ins_installed = install_built_ins(&context.engine, &folder).await?;

        let metrics = Arc::clone(&context.metrics);
        let state = AppState::new(Arc::clone(&context.engine), context.metrics, http);
        let shutdown = state.shutdown.clone();
        let metrics_api = HttpApi::metrics(state.clone());
        let api = HttpApi::new(state);
        // Before a device can report: what it reports is decided by this clock.
        let kept = context.engine.keep_reporting_clock().await;
        kept.context("record a heartbeat")?;
        let mut loops = spawn_loops(&context.engine, &context.store);
        if !are_built_ins_installed {
            let engine = Arc::clone(&context.engine);
            loops.spawn(plugins::install_built_ins_loop(engine, folder));
        }
        let engine = Arc::clone(&context.engine);
        loops.spawn(campaigns::leave_unknown_contracts_loop(engine));
        if let Some(folder) = config.plugins {
            let engine = Arc::clone(&context.engine);
            loops.spawn(plugins::watch_folder_loop(engine, folder));
        }
        if let Some(tls) = tls.clone() {
            loops.spawn(reload_tls_loop(Arc::clone(&context.engine), tls));
        }
        let serving = HttpServer {
            tls,
            max_connections: config.limits.connections,
            incomplete_per_address: config.limits.incomplete_requests_per_address,
            write_idle_timeout: config.limits.answer_silence.0,
            metrics: Some(metrics),
            ..HttpServer::default()
        };
        // The rest is for the process: the last spans.
        let shutdown_grace = config.shutdown_grace.0 * 9 / 10;
        // The rest is for the loops and the buffers.
        let request_grace = config.shutdown_grace.0 * 4 / 5;
        let serving = serving.serve(listener, api, shutdown.clone(), request_grace);
        let metrics_server = HttpServer {
            max_connections: MAX_METRICS_CONNECTIONS,
            ..HttpServer::default()
        };
        let serving_metrics = OptionFuture::from(metrics_listener.map(|listener| {
            metrics_server.serve(listener, metrics_api, shutdown.clone(), request_grace)
        }));
        let serving = tokio::spawn(async {
            let (served, served_metrics) = tokio::join!(serving, serving_metrics);
            served.and(served_metrics.unwrap_or(Ok(())))
        });
        Ok(RunningApp {
            addr,
            metrics_addr,
            first_key: bootstrap.admin_key,
            campaign_loop: tokio::spawn(campaigns::reconcile(Arc::clone(&context.engine))),
            loops,
            engine: context.engine,
            store: context.store,
            _data_dir_lock: data_dir_lock,
            shutdown,
            shutdown_grace,
            serving,
        })
    }
}

/// A running server. Dropping it stops it abruptly; [`RunningApp::shutdown`] is graceful.
pub struct RunningApp {
    /// The address that it listens on.
    pub addr: SocketAddr,
    /// The address of `/metrics`, if that has its own.
    pub metrics_addr: Option<SocketAddr>,
    /// The first admin's key, only at the first start: it is stored as a hash and cannot be shown again.
    pub first_key: Option<String>,
    /// The use cases, for tests and tools in the same process.
    pub engine: Arc<Engine>,
    store: Arc<SqlStore>,
    _data_dir_lock: File,
    shutdown: CancellationToken,
    shutdown_grace: Duration,
    serving: JoinHandle<std::io::Result<()>>,
    campaign_loop: JoinHandle<()>,
    loops: JoinSet<()>,
}

impl RunningApp {
    /// Refuses new connections, finishes accepted requests, and writes what is buffered. Ends within nine tenths of the
    /// configured time, also if one of these hangs.
    pub async fn shutdown(mut self) -> Result<()> {
        // The rest is for the end of the process.
        let until = Instant::now() + self.shutdown_grace * 9 / 10;
        self.shutdown.cancel();
        self.engine.signals().stop();
        // First, because a request that hangs may use up the time.
        let flushed = timeout_at(until, self.flush()).await;
        let served = timeout_at(until, &mut self.serving).await;
        if timeout_at(until, &mut self.campaign_loop).await.is_err() {
            tracing::warn!(timeout = ?self.shutdown_grace, "campaign loop did not stop in time");
            self.campaign_loop.abort();
        }
        self.loops.abort_all();
        // What the last requests left.
        let flushed_again = timeout_at(until, self.flush()).await;
        if timeout_at(until, self.store.close()).await.is_err() {
            tracing::warn!(timeout = ?self.shutdown_grace, "database connections not closed in time");
        }
        served
            .context("requests did not end in time")?
            .context("serve")?
            .context("serve")?;
        for flushed in [flushed, flushed_again] {
            flushed.context("buffers not written in time")??;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        devices::flush_retrievals(self.engine.update_writer()).await;
        let last_seen = devices::flush_last_seen(&self.engine).await;
        let used = access::flush_gateway_uses(self.engine.store(), self.engine.caches()).await;
        let keys_used = tenants::flush_key_uses(self.engine.store(), self.engine.caches()).await;
        let usage = plugins::flush_usage(self.engine.store(), self.engine.plugins()).await;
        last_seen.context("write last-seen times of devices")?;
        used.context("write last-use times of gateways")?;
        keys_used.context("write last-use times of API keys")?;
        usage.context("write plugin usage")
    }
}

impl Drop for RunningApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.serving.abort();
        self.campaign_loop.abort();
    }
}

async fn listen_for_metrics(config: &Config) -> Result<Option<TcpListener>> {
    let Some(address) = config.metrics.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listen on {address} for metrics"))?;
    Ok(Some(listener))
}

fn http_settings(config: &Config, entropy: &dyn Entropy) -> Result<HttpSettings> {
    let secret = match &config.auth.secret {
        Some(secret) => secret.clone().into_bytes(),
        None => secret::read_or_generate(&config.data_dir, entropy)?,
    };
    let mut settings = HttpSettings::new(secret);
    settings.dev = config.dev;
    settings.loopback_hosts_only = config.dev && !config.allow_dev_on_network;
    settings.max_component_bytes = config.sandbox.limits().component_bytes;
    settings.proxies = config.http.proxies()?;
    settings.tokens = config.auth.tokens();
    settings.public_url = config.http.public_url()?;
    settings.certificate_headers = config.http.certificate_headers()?;
    if config.telemetry.otlp_endpoint.is_some() {
        settings.set_parent_span = Some(span_export::set_parent);
    }
    // Logging has started.
    let is_debugged = LevelFilter::current() >= LevelFilter::DEBUG;
    settings.detailed_device_spans = is_debugged || config.telemetry.otlp_device_requests;
    settings.access_log = config.telemetry.access_log;
    settings.limits = config.limits.settings();
    settings.metrics = config.metrics.access();
    Ok(settings)
}

/// Installs the built-in plugins before the server serves. All other plugins are installed while it serves, so that none
/// of them delays the start. Returns false if one has to be installed later.
async fn install_built_ins(engine: &Engine, folder: &Path) -> Result<bool> {
    if engine.plugins().built_ins().is_empty() {
        tracing::warn!(
            "this server was built without plugins: without the default policies it offers no update that names no \
             policies; run `cargo xtask components`, then build the server again"
        );
    }
    tracing::info!(folder = %folder.display(), "installing the built-in plugins, which the first start compiles");
    match plugins::install_built_ins(engine, folder).await {
        Ok(installed) => {
            tracing::info!(installed, folder = %folder.display(), "built-in plugins installed");
            Ok(true)
        }
        Err(error @ Error::Unavailable { .. }) => {
            tracing::warn!(error = %chain(&error), folder = %folder.display(), "built-in plugins not installed; retrying");
            Ok(false)
        }
        Err(error) => Err(error).context(install_context(folder)),
    }
}

/// Installs the built-in plugins, and those of the configured folder, for every tenant.
pub(crate) async fn install_plugins(
    engine: &Engine,
    config: &Config,
    components: &Path,
) -> Result<()> {
    let installed = plugins::install_built_ins(engine, components)
        .await
        .with_context(|| install_context(components))?;
    tracing::info!(installed, folder = %components.display(), "built-in plugins installed");
    if let Some(folder) = &config.plugins {
        let installed = plugins::install_folder(engine, folder)
            .await
            .with_context(|| install_context(folder))?;
        tracing::info!(installed, folder = %folder.display(), "components installed");
    }
    Ok(())
}

fn install_context(folder: &Path) -> String {
    format!("install the components in {}", folder.display())
}

/// The folder of the built-in plugins: the configured one, else the first that exists.
pub(crate) fn components_folder(config: &Config) -> Result<PathBuf> {
    if let Some(folder) = &config.components {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().ok();
    let program_dir = program.as_deref().and_then(Path::parent);
    let next_to_program = program_dir.map(|folder| folder.join("components"));
    [
        next_to_program,
        program_dir.and_then(built_components),
        Some(PathBuf::from(SHARED_COMPONENTS)),
    ]
    .into_iter()
    .flatten()
    .find(|folder| folder.is_dir())
    .ok_or_else(|| {
        anyhow!(
            "there is no folder `components` next to this program and no {SHARED_COMPONENTS}: set `--components`, or in a \
             checkout run `cargo xtask components`"
        )
    })
}

/// Where `cargo xtask components` puts them, if the program is in cargo's target folder: `target/release/tidegate` finds
/// `target/components`. Cargo marks that folder as a cache.
fn built_components(program_dir: &Path) -> Option<PathBuf> {
    let target = program_dir.parent()?;
    let is_target =
        target.join("CACHEDIR.TAG").is_file() && target.join(".rustc_info.json").is_file();
    is_target.then(|| target.join("components"))
}

/// Spawns the background loops except the campaign loop.
fn spawn_loops(engine: &Arc<Engine>, store: &SqlStore) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    loops.spawn(campaigns::expire_updates_loop(Arc::clone(engine)));
    loops.spawn(campaigns::check_updates_loop(Arc::clone(engine)));
    loops.spawn(campaigns::join_changed_devices_loop(Arc::clone(engine)));
    loops.spawn(devices::flush_last_seen_loop(Arc::clone(engine)));
    loops.spawn(latest::run_latest_loop(Arc::clone(engine)));
    loops.spawn(run_gc(Arc::clone(engine)));
    loops.spawn(Arc::clone(engine).synchronize_clock_loop());
    loops.spawn(invalidate_changed(
        Arc::clone(engine),
        store.invalidations(),
    ));
    loops
}

/// Reloads the server's certificate when its files change.
async fn reload_tls_loop(engine: Arc<Engine>, tls: Tls) {
    let heartbeat = engine
        .health()
        .register_loop("certificate reload", 30 * TLS_RELOAD_PERIOD);
    loop {
        tokio::time::sleep(TLS_RELOAD_PERIOD).await;
        heartbeat.run(async { reload_tls(&tls) }).await;
    }
}

fn reload_tls(tls: &Tls) {
    match tls.reload() {
        Ok(false) => {}
        Ok(true) => tracing::info!("server certificate reloaded"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "new server certificate is invalid, keeping the old one");
        }
    }
}

/// Invalidates cached data that other servers have changed.
async fn invalidate_changed(engine: Arc<Engine>, mut changes: BoxStream<'static, Invalidation>) {
    // Other servers may send nothing for any time.
    let heartbeat = engine
        .health()
        .register_loop("cache invalidation", Duration::MAX);
    let caches = engine.caches();
    while let Some(change) = changes.next().await {
        let span = heartbeat.span();
        let _entered = span.enter();
        match change {
            Invalidation::Device { tenant, device_id } => {
                span.record("tenant", display(tenant));
                caches.invalidate_device(tenant, &device_id);
            }
            Invalidation::Tenant(tenant) => {
                span.record("tenant", display(tenant));
                caches.invalidate_tenants();
            }
            Invalidation::Suspended => caches.suspend(),
            Invalidation::Everything => caches.resume(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_captured_log::CapturedLog;
    use tidegate_core::id::Digest;

    use super::*;

    #[tokio::test]
    async fn a_server_that_was_built_without_plugins_says_so_at_its_start() {
        const MESSAGE: &str = "this server was built without plugins: without the default policies it offers no update \
                               that names no policies; run `cargo xtask components`, then build the server again";

        // Fails if another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let with_one: BuiltIns = [("hardware", Digest::of(b"hardware"))]
            .into_iter()
            .collect();
        for (built_ins, warnings) in [(BuiltIns::default(), 1), (with_one, 0)] {
            let folder = tempfile::tempdir().expect("a folder");
            let components = folder.path().join("components");
            std::fs::create_dir(&components).expect("a folder");
            let config = Config {
                listen: ([127, 0, 0, 1], 0).into(),
                data_dir: folder.path().join("data"),
                components: Some(components),
                ..Config::default()
            };
            let environment = Environment {
                built_ins: built_ins.clone(),
                ..Environment::default()
            };
            let log = CapturedLog::start();
            let app = App::start(config, environment).await.expect("a start");
            assert_eq!(log.events(MESSAGE).len(), warnings);
            assert_eq!(app.engine.plugins().built_ins(), &built_ins);
            app.shutdown().await.expect("an end");
        }
    }

    #[test]
    fn components_are_found_in_a_built_checkout() {
        let target = tempfile::tempdir().expect("a folder");
        let program_dir = target.path().join("release");
        assert_eq!(built_components(&program_dir), None, "not cargo's folder");
        for mark in ["CACHEDIR.TAG", ".rustc_info.json"] {
            std::fs::write(target.path().join(mark), "").expect("a file");
        }
        let expected = target.path().join("components");
        assert_eq!(built_components(&program_dir), Some(expected));
    }
}
