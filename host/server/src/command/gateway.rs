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
    /// List gateways and the time of their last use
    List,
    /// Create a gateway; its token is shown once
    Create {
        /// Name, unique in the tenant
        name: String,
        /// Restrict the gateway to devices of this group; devices that it registers join the group
        #[arg(long)]
        group: Option<String>,
        /// Its token, instead of a new one: 16 to 128 letters, digits and `-._~+/=`
        #[arg(long)]
        token: Option<String>,
    },
    /// Revoke a gateway's token; devices that it registered stay
    Revoke {
        /// Name or id
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
            Command::Create { name, group, token } => {
                let body = json!({ "name": name, "group": group, "token": token });
                let created = rest.post("gateways", &body).await?;
                show(&rest, &created, describe);
            }
            Command::Revoke { gateway } => {
                let id = resolve_id(&rest, "gateways", "gateway_id", "gateway", &gateway).await?;
                rest.delete(&format!("gateways/{id}")).await?;
                if !rest.wants_json() {
                    print(format_args!("the token of {gateway} is revoked"));
                }
            }
        }
        Ok(())
    }
}

fn describe(created: &Value) -> String {
    let details = table::details(
        &created["gateway"],
        &[
            ("id", "/gateway_id"),
            ("name", "/name"),
            ("group", "/group"),
        ],
    );
    let token = created["token"].as_str().unwrap_or_default();
    format!("{details}\n\nToken (shown only once): {token}")
}

const GATEWAYS: [table::Column<'_>; 5] = [
    ("ID", "/gateway_id"),
    ("NAME", "/name"),
    ("GROUP", "/group"),
    ("LAST USED", "/last_used"),
    ("CREATED AT", "/created_at"),
];
