use anyhow::{Result, anyhow};
use clap::Subcommand;
use tidegate_engine::{access, tenants};

use super::{place::Place, print};

#[derive(Debug, Subcommand)]
pub(super) enum GatewayToken {
    /// Make a token with which any device of a tenant may speak; it is shown this once
    Create {
        #[command(flatten)]
        place: Place,
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
        place: Place,
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
                place,
                tenant,
                name,
                group,
            } => {
                let (_, host) = place.open().await?;
                let tenant = super::place::tenant(&host.engine, &tenant).await?;
                let group = group.as_deref();
                let made = access::create_gateway(&host.engine, tenant.id, &name, group).await?;
                host.store.close().await;
                print(&made.token);
            }
            Self::Revoke {
                place,
                tenant,
                name,
            } => {
                let (_, host) = place.open().await?;
                let tenant = super::place::tenant(&host.engine, &tenant).await?;
                let gateways = access::gateways(&host.engine, tenant.id).await?;
                let gateway = gateways.iter().find(|gateway| gateway.name == name);
                let gateway = gateway.ok_or_else(|| anyhow!("there is no gateway {name}"))?;
                access::delete_gateway(&host.engine, tenant.id, gateway.id).await?;
                host.store.close().await;
            }
        }
        Ok(())
    }
}
