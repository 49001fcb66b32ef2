use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use tidegate_engine::{Actor, Admin, Authorized, Engine, tenants};

use crate::{
    app::{AppContext, Environment},
    config::Config,
};

/// The location of the server's configuration and data.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of the built-in plugins [default: components/ next to this program, target/components
    /// in a built checkout, or else /usr/share/tidegate/components]
    #[arg(long, value_name = "DIR")]
    components: Option<PathBuf>,
    /// Folder of other plugins, which are installed while the server runs
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

/// Flags of `serve` that override the configuration.
#[derive(Debug, Args)]
pub(super) struct ServeFlags {
    /// Development mode: accept devices without a token, and issue tokens to every client; only on a loopback address
    #[arg(long)]
    dev: bool,
    /// Allow --dev on an address that other machines can reach: each of them is an administrator
    #[arg(long)]
    allow_dev_on_network: bool,
    /// Listen address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl ConfigArgs {
    pub(super) fn config(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(components) = &self.components {
            config.components = Some(components.clone());
        }
        if let Some(plugins) = &self.plugins {
            config.plugins = Some(plugins.clone());
        }
        Ok(config)
    }

    /// Opens the server's database and files; the server may be running.
    pub(super) async fn open(&self) -> Result<(Config, AppContext)> {
        let config = self.config()?;
        if config.database.url.is_none() && !config.database_file().exists() {
            bail!(
                "there is no database in {}: set `--data-dir` to the server's data folder, or start the server once",
                config.data_dir.display()
            );
        }
        let context = AppContext::open(&config, Environment::default()).await?;
        Ok((config, context))
    }
}

/// The context of a command on the database of this tenant.
pub(super) async fn ctx_of_tenant(engine: &Engine, name: &str) -> Result<Authorized<Admin>> {
    let found = tenants::by_name(engine.store(), name).await?;
    let tenant = found.ok_or_else(|| anyhow!("there is no tenant {name}"))?;
    Ok(engine.trusted_ctx(tenant.id, Actor::command_line()))
}

impl ServeFlags {
    pub(super) fn apply(self, config: &mut Config) {
        config.dev |= self.dev;
        config.allow_dev_on_network |= self.allow_dev_on_network;
        config.listen = self.listen.unwrap_or(config.listen);
    }
}
