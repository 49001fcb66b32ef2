use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{listing, print, resolve_id::resolve_id, show};
use crate::client::{Remote, RestClient, table};

#[derive(Debug, Args)]
pub(super) struct Gateway {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List gateways, and when each was last used
    List,
    /// Make a gateway; its token is shown this once
    Create {
        /// For people, once in the tenant
        name: String,
        /// It speaks only for devices of this group, and devices that it registers are put into it
        #[arg(long)]
        group: Option<String>,
    },
    /// Make a gateway's token useless; devices that it registered stay
    Revoke {
        /// Its name, or its id
        gateway: String,
    },
}

impl Gateway {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::List => {
                let answer = rest.get("gateways", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &GATEWAYS));
            }
            Command::Create { name, group } => {
                let body = json!({ "name": name, "group": group });
                let made = rest.post("gateways", &body).await?;
                show(&rest, &made, describe);
            }
            Command::Revoke { gateway } => {
                let id = resolve_id(&rest, "gateways", "gateway_id", "gateway", &gateway).await?;
                rest.delete(&format!("gateways/{id}")).await?;
                if !rest.wants_json() {
                    print(format_args!("{gateway} opens nothing any more"));
                }
            }
        }
        Ok(())
    }
}

fn describe(made: &Value) -> String {
    let facts = table::sheet(
        &made["gateway"],
        &[
            ("id", "/gateway_id"),
            ("name", "/name"),
            ("group", "/group"),
        ],
    );
    let token = made["token"].as_str().unwrap_or_default();
    format!("{facts}\n\nIts token, which is shown this once: {token}")
}

const GATEWAYS: [table::Column<'_>; 5] = [
    ("ID", "/gateway_id"),
    ("NAME", "/name"),
    ("GROUP", "/group"),
    ("LAST USED", "/last_used"),
    ("CREATED AT", "/created_at"),
];
