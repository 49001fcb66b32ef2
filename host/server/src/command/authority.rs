use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{listing, print, resolve_id::resolve_id, show};
use crate::client::{Remote, RestClient, table};

#[derive(Debug, Args)]
pub(super) struct DeviceAuthority {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List authorities and the expiry of their certificates
    List,
    /// Trust an authority: its client certificates authenticate the devices that they name
    Add {
        /// Name, unique in the tenant
        name: String,
        /// The authority's certificate, PEM
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
    },
    /// Stop trusting an authority; devices that it registered stay
    Remove {
        /// Name or id
        authority: String,
    },
}

impl DeviceAuthority {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::List => {
                let answer = rest.get("device-authorities", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &AUTHORITIES));
            }
            Command::Add { name, certificate } => {
                let pem = std::fs::read_to_string(&certificate)
                    .with_context(|| format!("read {}", certificate.display()))?;
                let body = json!({ "name": name, "certificate": pem });
                let created = rest.post("device-authorities", &body).await?;
                show(&rest, &created, details);
            }
            Command::Remove { authority } => {
                let list = "device-authorities";
                let id = resolve_id(&rest, list, "authority_id", "authority", &authority).await?;
                rest.delete(&format!("device-authorities/{id}")).await?;
                if !rest.wants_json() {
                    print(format_args!("{authority} is not trusted any more"));
                }
            }
        }
        Ok(())
    }
}

fn details(authority: &Value) -> String {
    table::details(
        authority,
        &[
            ("id", "/authority_id"),
            ("name", "/name"),
            ("subject", "/subject"),
            ("sha256", "/sha256"),
            ("expires at", "/expires_at"),
        ],
    )
}

const AUTHORITIES: [table::Column<'_>; 5] = [
    ("ID", "/authority_id"),
    ("NAME", "/name"),
    ("SUBJECT", "/subject"),
    ("EXPIRES AT", "/expires_at"),
    ("CREATED AT", "/created_at"),
];
