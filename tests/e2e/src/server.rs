use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tidegate::{
    app::{App, Environment, RunningApp},
    config::{Config, ConfigDuration},
};
use tidegate_engine::Engine;

use crate::{Database, ManualClock, dirs, process};

/// What is different about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerOptions {
    /// Runs as with `--dev`.
    pub dev: bool,
    /// Largest file of a firmware, in bytes; none: the server's own.
    pub max_artifact_bytes: Option<u64>,
    /// How often devices are to poll; none: the server's own.
    pub polling_interval: Option<Duration>,
    /// CPU time that compiling a component may take; none: the server's own.
    pub compile_cpu: Option<Duration>,
    /// Whether whoever comes over loopback is a proxy that is trusted.
    pub trust_loopback: bool,
}

/// A whole server in this process, on loopback, with a clock that is moved by hand.
pub struct TestServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The server's only clock.
    pub clock: Arc<ManualClock>,
    /// The server's use cases, for what has no way in over HTTP: tenants, keys, gateway tokens.
    pub engine: Arc<Engine>,
    /// The first administrator's key.
    pub first_key: Option<String>,
    /// For all requests to it.
    pub http: reqwest::Client,
    app: RunningApp,
    config: Config,
    dir: TempDir,
}

impl TestServer {
    /// Starts one on a new database.
    pub async fn start(database: Database, options: ServerOptions) -> Result<Self> {
        let dir = dirs::new()?;
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: dir.path().to_owned(),
            dev: options.dev,
            components: Some(components()?),
            ..Config::default()
        };
        config.database.url = database.create().await?;
        if let Some(most) = options.max_artifact_bytes {
            config.artifacts.max_bytes = most;
        }
        if let Some(interval) = options.polling_interval {
            config.devices.polling_interval = ConfigDuration(interval);
        }
        if options.trust_loopback {
            config.http.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
        }
        config.sandbox.compile_cpu = options.compile_cpu.map(ConfigDuration);
        share_compiled_code(dir.path())?;
        Self::with(config, Arc::default(), dir).await
    }

    /// Starts another host of the same server: on the same database and files, with the same secret, at the same time of
    /// day.
    pub async fn start_replica(&self) -> Result<Self> {
        const SECRET: &str = "auth-secret";
        let dir = dirs::new()?;
        let mut config = self.config.clone();
        config.artifacts.dir = Some(self.config.artifacts_dir());
        config.data_dir = dir.path().to_owned();
        let secret = self.config.data_dir.join(SECRET);
        fs::copy(secret, config.data_dir.join(SECRET)).context("share the secret")?;
        share_compiled_code(dir.path())?;
        Self::with(config, Arc::clone(&self.clock), dir).await
    }

    async fn with(config: Config, clock: Arc<ManualClock>, dir: TempDir) -> Result<Self> {
        let environment = Environment {
            clock: Arc::clone(&clock) as _,
            compiler: process::compiler()?,
            tick_pause: Duration::from_millis(5),
            tick_period: Duration::from_millis(25),
            ..Environment::default()
        };
        let app = App::start(config.clone(), environment)
            .await
            .context("start a server")?;
        Ok(Self {
            url: format!("http://{}", app.addr),
            clock,
            engine: Arc::clone(&app.engine),
            first_key: app.first_key.clone(),
            http: reqwest::Client::new(),
            app,
            config,
            dir,
        })
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(self) -> Result<()> {
        self.app.shutdown().await
    }
}

/// The components that come with the server.
pub fn components() -> Result<PathBuf> {
    let dir = dirs::build_dir()?.join("components");
    let canary = dir.join("canary.wasm");
    if !canary.exists() {
        bail!(
            "there is no {}: run `cargo xtask components` first",
            canary.display()
        );
    }
    Ok(dir)
}

/// Compiled code is the same for every server of this build: what one compiled, the others find.
pub(crate) fn share_compiled_code(data_dir: &Path) -> Result<()> {
    let shared = dirs::build_dir()?.join("tmp/e2e-compiled");
    fs::create_dir_all(&shared).with_context(|| format!("make {}", shared.display()))?;
    symlink(&shared, data_dir.join("compiled")).context("link the compiled code")
}
