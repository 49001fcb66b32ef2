use anyhow::Result;
use clap::Subcommand;
use tidegate_engine::tenants;

use super::{place::Place, print};
use crate::app::{components_folder, install_builtins};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Make a tenant
    Create {
        #[command(flatten)]
        place: Place,
        /// Letters, digits, `-`, `_` and `.`; kept in upper case
        name: String,
    },
    /// List tenants
    List {
        #[command(flatten)]
        place: Place,
    },
}

impl Tenant {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Create { place, name } => {
                let (config, host) = place.open().await?;
                // Before anything is made: a tenant without plugins could not do much.
                let folder = components_folder(&config)?;
                let tenant = tenants::create(&host.engine, &name).await?;
                install_builtins(&host.engine, &folder).await?;
                host.store.close().await;
                print(format_args!(
                    "tenant {} is there; make a key for it with `tidegate key create`",
                    tenant.name
                ));
            }
            Self::List { place } => {
                let (_, host) = place.open().await?;
                let tenants = host.engine.store().tenants().await?;
                host.store.close().await;
                for tenant in tenants {
                    print(&tenant.name);
                }
            }
        }
        Ok(())
    }
}
