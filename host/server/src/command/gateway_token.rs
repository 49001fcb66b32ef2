use anyhow::{Result, anyhow};
use clap::Subcommand;
use tidegate_engine::{access, tenants};

use super::{
    config_args::{ConfigArgs, ctx_of_tenant},
    print,
};

#[derive(Debug, Subcommand)]
pub(super) enum GatewayToken {
    /// Create a gateway and print its token, which is shown once
    Create {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// Name of the gateway
        #[arg(long)]
        name: String,
        /// Restrict the gateway to devices of this group; devices that it registers join the group
        #[arg(long)]
        group: Option<String>,
    },
    /// Revoke a gateway's token; a running server notices within ten seconds
    Revoke {
        #[command(flatten)]
        config_args: ConfigArgs,
        /// Tenant
        #[arg(long, default_value = tenants::DEFAULT_TENANT)]
        tenant: String,
        /// Name of the gateway
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
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                let created = access::create_gateway(
                    &ctx,
                    context.engine.store(),
                    context.engine.caches(),
                    context.engine.entropy(),
                    access::GatewayRequest {
                        name,
                        group,
                        token: None,
                    },
                )
                .await?;
                context.store.close().await;
                print(&created.token);
            }
            Self::Revoke {
                config_args,
                tenant,
                name,
            } => {
                let (_, context) = config_args.open().await?;
                let ctx = ctx_of_tenant(&context.engine, &tenant).await?;
                let gateways = access::gateways(&ctx, context.engine.store()).await?;
                let gateway = gateways.iter().find(|gateway| gateway.name == name);
                let gateway = gateway.ok_or_else(|| anyhow!("there is no gateway {name}"))?;
                access::delete_gateway(
                    &ctx,
                    context.engine.store(),
                    context.engine.caches(),
                    gateway.id,
                )
                .await?;
                context.store.close().await;
            }
        }
        Ok(())
    }
}
