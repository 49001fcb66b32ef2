use anyhow::Result;
use clap::Subcommand;
use tidegate_engine::tenants;

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
    },
}

impl GatewayToken {
    pub(super) async fn run(self) -> Result<()> {
        let Self::Create {
            place,
            tenant,
            name,
        } = self;
        let (_, host) = place.open().await?;
        let tenant = super::place::tenant(&host.engine, &tenant).await?;
        let token = tenants::issue_gateway_token(&host.engine, tenant.id, &name).await?;
        host.store.close().await;
        print(&token);
        Ok(())
    }
}
