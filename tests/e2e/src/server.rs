use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use reqwest::Certificate;
use tempfile::TempDir;
use tidegate::{
    app::{App, Environment, RunningApp},
    config::{Config, ConfigDuration, LinkNames},
};
use tidegate_engine::{Engine, ports::Clock};

use crate::{
    Database, ManualClock,
    clock::FastClock,
    components,
    dirs::{self, share_compiled_code},
    process,
};

/// Settings of a test server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of a server"
)]
pub struct ServerOptions {
    /// Development mode, as with `--dev`.
    pub dev: bool,
    /// Maximum size of a firmware file in bytes; `None` for the default.
    pub max_artifact_bytes: Option<u64>,
    /// The polling interval of devices; `None` for the default.
    pub polling_interval: Option<Duration>,
    /// Maximum CPU time for compiling a component; `None` for the default.
    pub compile_cpu: Option<Duration>,
    /// Whether clients on loopback are trusted proxies.
    pub trust_loopback: bool,
    /// Whether it uses TLS, with a new certificate for `localhost`.
    pub tls: bool,
    /// The server's names of links to files.
    pub ddi_links: LinkNames,
    /// Also speaks the draft of version 1.1 of the plugin contract.
    pub draft_contract: bool,
}

/// A whole server in this process, on loopback, with a manual clock.
pub struct TestServer {
    /// `http://127.0.0.1:PORT`, with TLS `https://localhost:PORT`.
    pub url: String,
    /// The file with its certificate, PEM, if it uses TLS.
    pub certificate: Option<PathBuf>,
    /// The clock of the server, unless it runs in real time.
    pub clock: Arc<ManualClock>,
    /// The use cases of the server, for what the REST API does not offer: tenants, API keys, gateway tokens.
    pub engine: Arc<Engine>,
    /// The API key of the first administrator.
    pub first_key: Option<String>,
    /// The HTTP client for requests to it.
    pub http: reqwest::Client,
    app: RunningApp,
    config: Config,
    dir: TempDir,
}

impl TestServer {
    /// Starts a server on a new database.
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
        if options.tls {
            let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
            fs::write(&cert, own.cert.pem())?;
            fs::write(&key, own.signing_key.serialize_pem())?;
            (config.tls.cert, config.tls.key) = (Some(cert), Some(key));
        }
        config.ddi.links = options.ddi_links;
        // Tests share a server, and have the same address.
        config.limits.refused_logins_per_minute = 0;
        config.sandbox.compile_cpu = options.compile_cpu.map(ConfigDuration);
        share_compiled_code(dir.path())?;
        let clock = Arc::<ManualClock>::default();
        let environment = Environment {
            speaks_draft: options.draft_contract,
            ..environment(Arc::clone(&clock) as _)?
        };
        Self::in_environment(config, clock, environment, dir).await
    }

    /// Starts a server on a new database, in real time.
    pub async fn start_in_real_time(database: Database) -> Result<Self> {
        let dir = dirs::new()?;
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: dir.path().to_owned(),
            components: Some(components()?),
            ..Config::default()
        };
        config.database.url = database.create().await?;
        share_compiled_code(dir.path())?;
        Self::with_clock(config, Arc::default(), Environment::default().clock, dir).await
    }

    /// Starts a second server on the same database and artifacts, with the same secret and the same clock.
    pub async fn start_replica(&self) -> Result<Self> {
        let (config, dir) = self.replica_config()?;
        Self::with(config, Arc::clone(&self.clock), dir).await
    }

    /// Starts a second server on the same database and artifacts, whose clock is this much ahead of real time.
    pub async fn start_replica_ahead(&self, ahead: Duration) -> Result<Self> {
        let (config, dir) = self.replica_config()?;
        let clock = FastClock {
            real: Environment::default().clock,
            ahead,
        };
        Self::with_clock(config, Arc::default(), Arc::new(clock), dir).await
    }

    /// Starts a second server on the same database and artifacts, which reaches the database through this proxy.
    pub async fn start_replica_through(&self, proxy: SocketAddr) -> Result<Self> {
        let (mut config, dir) = self.replica_config()?;
        let url = self.database_url();
        let (scheme, rest) = url.rsplit_once('@').context("the user")?;
        let (_, name) = rest.rsplit_once('/').context("the name")?;
        config.database.url = Some(format!("{scheme}@{proxy}/{name}"));
        Self::with(config, Arc::clone(&self.clock), dir).await
    }

    fn replica_config(&self) -> Result<(Config, TempDir)> {
        const SECRET: &str = "auth-secret";
        let dir = dirs::new()?;
        let mut config = self.config.clone();
        config.artifacts.dir = Some(self.config.artifacts_dir());
        dir.path().clone_into(&mut config.data_dir);
        let secret = self.config.data_dir.join(SECRET);
        fs::copy(secret, config.data_dir.join(SECRET)).context("share the secret")?;
        share_compiled_code(dir.path())?;
        Ok((config, dir))
    }

    async fn with(config: Config, clock: Arc<ManualClock>, dir: TempDir) -> Result<Self> {
        Self::with_clock(config, Arc::clone(&clock), clock, dir).await
    }

    async fn with_clock(
        config: Config,
        manual_clock: Arc<ManualClock>,
        clock: Arc<dyn Clock>,
        dir: TempDir,
    ) -> Result<Self> {
        Self::in_environment(config, manual_clock, environment(clock)?, dir).await
    }

    async fn in_environment(
        config: Config,
        manual_clock: Arc<ManualClock>,
        environment: Environment,
        dir: TempDir,
    ) -> Result<Self> {
        let app = App::start(config.clone(), environment)
            .await
            .context("start a server")?;
        let certificate = config.tls.cert.clone();
        let (url, http) = match &certificate {
            None => (format!("http://{}", app.addr), reqwest::Client::new()),
            Some(file) => {
                let root = Certificate::from_pem(&fs::read(file)?)?;
                // As most devices do. Tests set `Host`, which HTTP/2 has no field for.
                let client = reqwest::Client::builder().http1_only();
                let client = client.tls_certs_only([root]);
                let url = format!("https://localhost:{}", app.addr.port());
                (url, client.build()?)
            }
        };
        Ok(Self {
            url,
            certificate,
            clock: manual_clock,
            engine: Arc::clone(&app.engine),
            first_key: app.first_key.clone(),
            http,
            app,
            config,
            dir,
        })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of its database.
    pub fn database_url(&self) -> String {
        match &self.config.database.url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.config.database_file().display()),
        }
    }

    /// Stops the server as SIGTERM does.
    pub async fn stop(self) -> Result<()> {
        self.app.shutdown().await
    }
}

fn environment(clock: Arc<dyn Clock>) -> Result<Environment> {
    Ok(Environment {
        clock,
        child_command: process::child_command()?,
        tick_pause: Duration::from_millis(5),
        tick_period: Duration::from_millis(25),
        ..Environment::default()
    })
}
