use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use tidegate_artifacts::ArtifactStore;
use tidegate_core::{device::AttributeNames, polling::PollInterval};
use tidegate_engine::{
    Engine, Ports, Settings,
    plugins::RestoredComponents,
    ports::{Artifacts, ComponentSource, Entropy},
};
use tidegate_http::Metrics;
use tidegate_sandbox::{SandboxConfig, WasmSandbox};
use tidegate_store::{Options, SqlStore};

use super::{Environment, components_folder, data_folder, private_files};
use crate::config::Config;

/// The engine with its adapters, without a listener or loops.
pub struct AppContext {
    /// The use cases.
    pub engine: Arc<Engine>,
    /// The observer of the engine.
    pub metrics: Arc<Metrics>,
    /// The store of the engine.
    pub store: Arc<SqlStore>,
}

impl AppContext {
    /// Opens the database, the artifact store and the sandbox.
    pub async fn open(config: &Config, environment: Environment) -> Result<Self> {
        data_folder::create(config)?;
        private_files::make_private(config);
        private_files::make_content_private(config);
        let names = attribute_names(config);
        let server_name = server_name(&*environment.entropy);
        let store = Arc::new(open_store(config, server_name.clone(), names.clone()).await?);
        let files = config.artifacts_dir();
        let artifacts = ArtifactStore::open_folder(&files).await;
        let artifacts = Arc::new(
            artifacts.with_context(|| format!("open the artifacts folder {}", files.display()))?,
        );
        let metrics = Metrics::new(
            environment.dropped_log_lines,
            config.metrics.plugin_labels(),
        );
        let metrics = Arc::new(metrics.context("set up metrics")?);
        let settings = Settings {
            server_name,
            built_ins: environment.built_ins,
            polling: PollInterval {
                interval: config.devices.polling_interval.0,
                jitter_percent: config.devices.polling_jitter_percent,
            },
            ddi_links: config.ddi.links.into(),
            anonymous_devices: config.dev,
            attribute_names: names,
            waiting_reports: config.limits.waiting_reports,
            max_artifact_bytes: config.artifacts.max_bytes,
            journal: config.journal.settings(),
            tick_pause: environment.tick_pause,
            tick_period: environment.tick_period,
            ..Settings::default()
        };
        let sandbox = SandboxConfig::new(config.data_dir.join("compiled"));
        let code_cache_bytes = config.sandbox.code_cache_bytes;
        let sandbox = SandboxConfig {
            limits: config.sandbox.limits(),
            child_command: environment.child_command,
            code_cache_bytes: code_cache_bytes.unwrap_or(sandbox.code_cache_bytes),
            #[cfg(feature = "draft-contract")]
            speaks_draft: environment.speaks_draft,
            ..sandbox
        };
        let source = RestoredComponents::new(
            Arc::clone(&artifacts) as _,
            Arc::clone(&artifacts) as _,
            plugin_folders(config),
        );
        let source: Arc<dyn ComponentSource> = Arc::new(source);
        let ports = Ports {
            store: Arc::clone(&store) as _,
            artifacts: artifacts as Arc<dyn Artifacts>,
            sandbox: Arc::new(WasmSandbox::open(sandbox, source).context("open the sandbox")?),
            clock: environment.clock,
            entropy: environment.entropy,
            observer: Arc::clone(&metrics) as _,
        };
        let engine = Arc::new(Engine::new(ports, settings));
        engine.synchronize_clock().await;
        // What was created just now.
        private_files::make_private(config);
        Ok(Self {
            engine,
            metrics,
            store,
        })
    }
}

async fn open_store(
    config: &Config,
    server_name: String,
    attribute_names: AttributeNames,
) -> Result<SqlStore> {
    let options = match &config.database.url {
        Some(url) => Options::new(url.clone()),
        None => Options::sqlite(&config.database_file()),
    };
    // The URL may contain a password, so errors do not include it.
    SqlStore::open(Options {
        server_name,
        attribute_names,
        max_feedback_per_update: config.limits.feedback_per_update,
        ..options
    })
    .await
    .context("open the database")
}

/// The folders that have components besides the store: that of the built-in plugins and the configured one.
fn plugin_folders(config: &Config) -> Vec<PathBuf> {
    let built_ins = components_folder(config).ok();
    built_ins
        .into_iter()
        .chain(config.plugins.clone())
        .collect()
}

fn attribute_names(config: &Config) -> AttributeNames {
    AttributeNames {
        hw_model: config.devices.hw_model.clone(),
        hw_revision: config.devices.hw_revision.clone(),
        sw_version: config.devices.sw_version.clone(),
    }
}

/// A unique name of this server.
fn server_name(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    format!("server-{:016x}", u64::from_le_bytes(bytes))
}
