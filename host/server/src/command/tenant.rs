use anyhow::{Context as _, Result};
use clap::Subcommand;
use tidegate_engine::{Actor, tenants};

use super::{config_args::ConfigArgs, print};
use crate::app::{components_folder, install_plugins};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant
    Create {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Name: letters, digits, `-`, `_` and `.`; stored in upper case
        name: String,
    },
    /// List tenants
    List {
        #[command(flatten)]
        config_args: ConfigArgs,
    },
}

impl Tenant {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Create { config_args, name } => {
                let (config, context) = config_args.open().await?;
                // Checked first, because a tenant needs the built-in plugins.
                let folder = components_folder(&config)?;
                let ctx = context.engine.server_ctx(Actor::command_line())?;
                let tenant = tenants::create(&ctx, context.engine.store(), &name).await?;
                let installed = install_plugins(&context.engine, &config, &folder).await;
                context.store.close().await;
                print(format_args!(
                    "tenant {} is created; create a key for it with `tidegate key create`",
                    tenant.name
                ));
                installed
                    .context("the next start of the server installs the plugins of the tenant")?;
            }
            Self::List { config_args } => {
                let (_, context) = config_args.open().await?;
                let ctx = context.engine.server_ctx(Actor::command_line())?;
                let tenants = tenants::list(&ctx, context.engine.store()).await?;
                context.store.close().await;
                for tenant in tenants {
                    print(&tenant.name);
                }
            }
        }
        Ok(())
    }
}
