use anyhow::{Result, anyhow};
use clap::Subcommand;
use tidegate_engine::{access, tenants};

use super::{config_args::ConfigArgs, print};

#[derive(Debug, Subcommand)]
pub(super) enum GatewayToken {
    /// Make a token with which any device of a tenant may speak; it is shown this once
    Create {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// For which tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// For people
        #[arg(long)]
        name: String,
        /// Only devices of this group may speak with it, and devices that it registers are put into this group
        #[arg(long)]
        group: Option<String>,
    },
    /// Make a token useless; a server that runs takes up to ten seconds to notice
    Revoke {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Of which tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// Its name
        #[arg(long)]
        name: String,
    },
}

impl GatewayToken {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                config_args,
                tenant,
                name,
                group,
            } => {
                let (_, context) = config_args.open().await?;
                let tenant = super::config_args::find_tenant(&context.engine, &tenant).await?;
                let group = group.as_deref();
                let made = access::create_gateway(&context.engine, tenant.id, &name, group).await?;
                context.store.close().await;
                print(&made.token);
            }
            Self::Revoke {
                config_args,
                tenant,
                name,
            } => {
                let (_, context) = config_args.open().await?;
                let tenant = super::config_args::find_tenant(&context.engine, &tenant).await?;
                let gateways = access::gateways(&context.engine, tenant.id).await?;
                let gateway = gateways.iter().find(|gateway| gateway.name == name);
                let gateway = gateway.ok_or_else(|| anyhow!("there is no gateway {name}"))?;
                access::delete_gateway(&context.engine, tenant.id, gateway.id).await?;
                context.store.close().await;
            }
        }
        Ok(())
    }
}
