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
    /// List authorities, and until when their certificates last
    List,
    /// Trust an authority: whoever shows a certificate of it is the device that the certificate names
    Add {
        /// For people, once in the tenant
        name: String,
        /// Its certificate, PEM
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
    },
    /// Trust an authority no more; devices that it registered stay
    Remove {
        /// Its name, or its id
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
                let made = rest.post("device-authorities", &body).await?;
                show(&rest, &made, sheet);
            }
            Command::Remove { authority } => {
                let list = "device-authorities";
                let id = resolve_id(&rest, list, "authority_id", "authority", &authority).await?;
                rest.delete(&format!("device-authorities/{id}")).await?;
                if !rest.wants_json() {
                    print(format_args!("{authority} is trusted no more"));
                }
            }
        }
        Ok(())
    }
}

fn sheet(authority: &Value) -> String {
    table::sheet(
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
