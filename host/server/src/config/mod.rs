//! The configuration: defaults, then the file, then `TIDEGATE_*` variables, then flags. Later sources take precedence.

mod config_duration;
mod config_error;
mod ddi;
mod journal;
mod metrics;
mod network;
mod service_variables;
mod suggestion;
mod telemetry;
mod toml_format;

use std::{
    iter,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized},
};
use serde::{Deserialize, Deserializer, Serialize, de::Unexpected};
use tidegate_http::TokenSettings;
use tidegate_sandbox::SandboxLimits;
use tracing_subscriber::EnvFilter;

use toml_format::Toml;

use crate::secret::MIN_SECRET_BYTES;

pub use config_duration::ConfigDuration;
pub use config_error::ConfigError;
pub use ddi::{Ddi, LinkNames};
pub use journal::Journal;
pub use metrics::Metrics;
pub use network::{ClientAuthMode, Forwarded, Http, Limits as RequestLimits, Tls};
pub use service_variables::service_variables;
pub use telemetry::Telemetry;

/// The configuration of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Listen address.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Maximum duration of a graceful shutdown.
    pub shutdown_grace: ConfigDuration,
    /// Folder of the database, the files and the caches, unless they are configured separately.
    pub data_dir: PathBuf,
    /// Development mode: accepts devices without a token, and issues tokens to every client.
    pub dev: bool,
    /// Whether development mode is allowed on an address that other machines can reach.
    pub allow_dev_on_network: bool,
    /// Folder of the built-in components; `None`: next to the program.
    pub components: Option<PathBuf>,
    /// Folder of other plugins, which is watched; `None`: there is none.
    pub plugins: Option<PathBuf>,
    /// The database.
    pub database: Database,
    /// Polling and attributes of devices.
    pub devices: Devices,
    /// The device API.
    pub ddi: Ddi,
    /// Firmware files.
    pub artifacts: Artifacts,
    /// Limits of plugins.
    pub sandbox: Sandbox,
    /// Journals of campaigns.
    pub journal: Journal,
    /// Logging.
    pub log: Log,
    /// The access log and the export of spans.
    pub telemetry: Telemetry,
    /// `/metrics`.
    pub metrics: Metrics,
    /// Authentication of users.
    pub auth: Auth,
    /// Proxies in front of the server.
    pub http: Http,
    /// TLS.
    pub tls: Tls,
    /// Limits of requests.
    pub limits: RequestLimits,
    /// The configuration file, if it contains a secret.
    #[serde(skip)]
    pub file_with_secrets: Option<PathBuf>,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://...`; `None`: `tidegate.db` in the data folder.
    pub url: Option<String>,
}

/// Polling and attributes of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// Default polling interval.
    pub polling_interval: ConfigDuration,
    /// Maximum deviation from the interval in percent, so that devices do not poll simultaneously.
    pub polling_jitter_percent: u8,
    /// Attributes that name the hardware model; the first one present counts.
    pub hw_model: Vec<String>,
    /// Attributes that name the hardware revision.
    pub hw_revision: Vec<String>,
    /// Attributes that name the software version.
    pub sw_version: Vec<String>,
}

/// Firmware files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifacts {
    /// Their folder; `None`: `artifacts` in the data folder.
    pub dir: Option<PathBuf>,
    /// Maximum file size, in bytes.
    pub max_bytes: u64,
}

/// Limits of plugins; unset ones have the sandbox's defaults. Opening the sandbox checks the ceilings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Maximum size of a component, in bytes.
    pub component_bytes: Option<u64>,
    /// Maximum size of the compiled code that is kept on disk, in bytes.
    pub code_cache_bytes: Option<u64>,
    /// CPU time to compile a component of up to 4 MiB; a larger one has more.
    pub compile_cpu: Option<ConfigDuration>,
    /// Memory of a call, in bytes.
    pub memory_bytes: Option<u64>,
    /// Fuel of `describe`, `validate`, `wants`, `decide` and `evaluate`, and of `check` without the share of each class.
    pub fuel: Option<u64>,
    /// Fuel per device class for `check`.
    pub fuel_per_class: Option<u64>,
    /// Fuel of `plan` and `assign`, without the share of each device.
    pub planning_fuel: Option<u64>,
    /// Fuel per device for `plan` and `assign`.
    pub planning_fuel_per_device: Option<u64>,
    /// Processor time of a call, and a tenth of its time by the clock.
    pub deadline: Option<ConfigDuration>,
    /// The same of `plan`, `assign` and `check`, which have more with more fuel.
    pub planning_deadline: Option<ConfigDuration>,
    /// Maximum size of an answer in bytes, without the share of each device.
    pub answer_bytes: Option<u64>,
    /// Bytes per device in an answer of `plan` and `assign`.
    pub answer_bytes_per_device: Option<u64>,
    /// Concurrent decisions; additionally half as many plans and a quarter as many interactive calls.
    pub calls_at_once: Option<usize>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The format of log lines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tidegate_engine=debug`.
    pub level: String,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Readable text.
    Human,
    /// One JSON object per line.
    Json,
}

/// Authentication of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Key that signs bearer tokens (HS256): at least 32 bytes, equal on all servers of one database. `None`: generated
    /// at the first start and stored in the data folder.
    pub secret: Option<String>,
    /// The audience that tokens must be for; `None`: tokens for an audience are refused.
    pub audience: Option<String>,
    /// The issuer that tokens must be from; `None`: any.
    pub issuer: Option<String>,
    /// Maximum time until a token expires.
    pub max_token_lifetime: ConfigDuration,
}

impl Default for Auth {
    fn default() -> Self {
        let TokenSettings {
            audience,
            issuer,
            max_lifetime,
        } = TokenSettings::default();
        Self {
            secret: None,
            audience,
            issuer,
            max_token_lifetime: ConfigDuration(max_lifetime),
        }
    }
}

impl Auth {
    /// Which bearer tokens are accepted.
    pub fn tokens(&self) -> TokenSettings {
        TokenSettings {
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            max_lifetime: self.max_token_lifetime.0,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            shutdown_grace: ConfigDuration(Duration::from_secs(25)),
            data_dir: PathBuf::from("tidegate-data"),
            dev: false,
            allow_dev_on_network: false,
            components: None,
            plugins: None,
            database: Database::default(),
            devices: Devices::default(),
            ddi: Ddi::default(),
            artifacts: Artifacts::default(),
            sandbox: Sandbox::default(),
            journal: Journal::default(),
            log: Log {
                format: LogFormat::Human,
                level: "info".to_owned(),
            },
            telemetry: Telemetry::default(),
            metrics: Metrics::default(),
            auth: Auth::default(),
            http: Http::default(),
            tls: Tls::default(),
            limits: RequestLimits::default(),
            file_with_secrets: None,
        }
    }
}

impl Default for Devices {
    fn default() -> Self {
        let settings = tidegate_engine::Settings::default();
        Self {
            polling_interval: ConfigDuration(settings.polling.interval),
            polling_jitter_percent: settings.polling.jitter_percent,
            hw_model: settings.attribute_names.hw_model,
            hw_revision: settings.attribute_names.hw_revision,
            sw_version: settings.attribute_names.sw_version,
        }
    }
}

impl Default for Artifacts {
    fn default() -> Self {
        Self {
            dir: None,
            max_bytes: tidegate_engine::Settings::default().max_artifact_bytes,
        }
    }
}

/// Variables with the same prefix that are not settings of the server.
const CLIENT_VARIABLES: [&str; 4] = ["url", "key", "config", "test_postgres"];

impl Config {
    /// Reads the defaults, the file if one is named, and the environment. An error names invalid and unknown settings
    /// as they were written, and what is expected.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        let mut figment = defaults.clone();
        if let Some(file) = file {
            // Without this check a missing file would count as an empty one.
            std::fs::metadata(file).with_context(|| format!("read {}", file.display()))?;
            figment = figment.merge(Toml::file_exact(file));
        }
        let services = service_variables();
        let services: Vec<&str> = services
            .iter()
            .filter_map(|name| name.strip_prefix(config_error::PREFIX))
            .collect();
        let environment = Env::prefixed(config_error::PREFIX)
            .ignore(&CLIENT_VARIABLES)
            .ignore(&services);
        figment = figment.merge(environment.split(config_error::SEPARATOR));
        let message = match figment.extract::<Self>() {
            Ok(mut config) => match config.check() {
                Ok(()) => {
                    config.file_with_secrets = config.file_with_secrets(&figment);
                    return Ok(config);
                }
                Err(message) => message.describe(&figment),
            },
            Err(errors) => {
                let lines: Vec<_> = errors
                    .into_iter()
                    .map(|it| config_error::describe_figment_error(&it, &defaults))
                    .collect();
                lines.join("; ")
            }
        };
        bail!("invalid configuration: {message}")
    }

    /// Checks that the types cannot express.
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(secret) = &self.auth.secret
            && secret.len() < MIN_SECRET_BYTES
        {
            let bytes = secret.len();
            let why = format!("has {bytes} bytes, but needs at least {MIN_SECRET_BYTES}");
            return Err(ConfigError::new("auth.secret", why));
        }
        if self.auth.max_token_lifetime.0.as_secs() == 0 {
            let why = "must be at least 1s";
            return Err(ConfigError::new("auth.max_token_lifetime", why));
        }
        self.http.proxies()?;
        self.http.public_url()?;
        self.http.certificate_headers()?;
        self.tls.settings()?;
        self.limits.check()?;
        self.sandbox.check()?;
        self.journal.check()?;
        self.telemetry.check()?;
        self.metrics.check()?;
        if let Err(error) = EnvFilter::try_new(&self.log.level) {
            let why = format!("is not a log level or a list of directives: {error}");
            return Err(ConfigError::new("log.level", why));
        }
        if !(1..86_400).contains(&self.devices.polling_interval.0.as_secs()) {
            let why = "must be at least 1s and less than 24h";
            return Err(ConfigError::new("devices.polling_interval", why));
        }
        if self.devices.polling_jitter_percent > 100 {
            let key = "devices.polling_jitter_percent";
            return Err(ConfigError::new(key, "must be at most 100"));
        }
        Ok(())
    }

    /// The file that a secret of this configuration was read from.
    fn file_with_secrets(&self, figment: &Figment) -> Option<PathBuf> {
        let url = self.database.url.as_deref().unwrap_or_default();
        let secrets = [
            ("auth.secret", self.auth.secret.is_some()),
            ("metrics.token", self.metrics.token.is_some()),
            // A URL with a user may have a password.
            ("database.url", url.contains('@')),
        ];
        let origin = |key| figment.find_metadata(key)?.source.as_ref()?.file_path();
        let files = secrets
            .into_iter()
            .filter_map(|(key, is_set)| origin(key).filter(|_| is_set));
        files.map(Path::to_owned).next()
    }

    /// The files that the configuration names and that contain secrets.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.tls
            .key
            .iter()
            .chain(&self.file_with_secrets)
            .map(PathBuf::as_path)
    }

    /// Refuses development mode on an address that other machines can reach, unless that is allowed.
    pub fn check_dev(&self) -> Result<()> {
        let addresses = iter::once(self.listen).chain(self.metrics.listen);
        let mut reachable = addresses.filter(|it| !it.ip().to_canonical().is_loopback());
        if let Some(reachable) = reachable.next()
            && self.dev
            && !self.allow_dev_on_network
        {
            bail!(
                "development mode (--dev) makes every client an administrator, and other machines can reach {reachable}: listen on \
                 127.0.0.1, or allow that with --allow-dev-on-network"
            );
        }
        Ok(())
    }

    /// The database file if no URL is set.
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("tidegate.db")
    }

    /// The folder of firmware files.
    pub fn artifacts_dir(&self) -> PathBuf {
        self.artifacts
            .dir
            .clone()
            .unwrap_or_else(|| self.data_dir.join("artifacts"))
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    socket_address(&String::deserialize(from)?)
}

fn socket_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    let expected = &"an address and a port, such as `127.0.0.1:8080`";
    text.parse()
        .map_err(|_| E::invalid_value(Unexpected::Str(text), expected))
}

/// Enough for the built-in plugins.
const MIN_CODE_CACHE_BYTES: u64 = 64 << 20;

impl Sandbox {
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(bytes) = self.code_cache_bytes
            && bytes < MIN_CODE_CACHE_BYTES
        {
            let why = format!("is {bytes}, and must be at least {MIN_CODE_CACHE_BYTES}");
            return Err(ConfigError::new("sandbox.code_cache_bytes", why));
        }
        let allowed = self.limits().validate();
        allowed
            .map_err(|error| ConfigError::new(format!("sandbox.{}", error.name()), error.reason()))
    }

    /// The sandbox's limits with these settings applied.
    pub fn limits(&self) -> SandboxLimits {
        let default = SandboxLimits::default();
        let period = |set: Option<ConfigDuration>, default| set.map_or(default, |period| period.0);
        SandboxLimits {
            component_bytes: self.component_bytes.unwrap_or(default.component_bytes),
            compile_cpu: period(self.compile_cpu, default.compile_cpu),
            compile_memory_bytes: default.compile_memory_bytes,
            config_check_cpu: default.config_check_cpu,
            config_check_deadline: default.config_check_deadline,
            memory_bytes: self.memory_bytes.unwrap_or(default.memory_bytes),
            fuel: self.fuel.unwrap_or(default.fuel),
            fuel_per_class: self.fuel_per_class.unwrap_or(default.fuel_per_class),
            planning_fuel: self.planning_fuel.unwrap_or(default.planning_fuel),
            planning_fuel_per_device: self
                .planning_fuel_per_device
                .unwrap_or(default.planning_fuel_per_device),
            deadline: period(self.deadline, default.deadline),
            planning_deadline: period(self.planning_deadline, default.planning_deadline),
            answer_bytes: self.answer_bytes.unwrap_or(default.answer_bytes),
            answer_bytes_per_device: self
                .answer_bytes_per_device
                .unwrap_or(default.answer_bytes_per_device),
            calls_at_once: self.calls_at_once.unwrap_or(default.calls_at_once),
        }
    }
}

#[cfg(test)]
mod tests;
