use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{listing, print, show};
use crate::client::{Remote, Rest, table};

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
        let rest = Rest::new(self.remote)?;
        match self.command {
            Command::List => {
                let answer = rest.get("gateways", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &GATEWAYS));
            }
            Command::Create { name, group } => {
                let wish = json!({ "name": name, "group": group });
                let made = rest.post("gateways", &wish).await?;
                show(&rest, &made, told);
            }
            Command::Revoke { gateway } => {
                let known = rest.get("gateways", &[]).await?;
                let id = named(&known, "/gateway_id", &gateway)
                    .ok_or_else(|| anyhow!("there is no gateway {gateway}"))?;
                rest.delete(&format!("gateways/{id}")).await?;
                if !rest.wants_json() {
                    print(format_args!("{gateway} opens nothing any more"));
                }
            }
        }
        Ok(())
    }
}

fn told(made: &Value) -> String {
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

/// The id of the item of this name, or else of this id.
pub(super) fn named(list: &Value, id: &str, wanted: &str) -> Option<i64> {
    let items = list["items"].as_array()?;
    let by_name = items.iter().find(|item| item["name"] == wanted);
    let id_of = |item: &Value| item.pointer(id)?.as_i64();
    by_name.and_then(id_of).or_else(|| {
        let wanted: i64 = wanted.parse().ok()?;
        items.iter().filter_map(id_of).find(|id| *id == wanted)
    })
}

const GATEWAYS: [table::Column<'_>; 5] = [
    ("ID", "/gateway_id"),
    ("NAME", "/name"),
    ("GROUP", "/group"),
    ("LAST USED", "/last_used"),
    ("CREATED AT", "/created_at"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_an_id() {
        let list = json!({"items": [
            {"gateway_id": 1, "name": "dock"}, {"gateway_id": 2, "name": "1"},
        ]});
        for (wanted, expected) in [
            ("dock", Some(1)),
            ("1", Some(2)),
            ("2", Some(2)),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(named(&list, "/gateway_id", wanted), expected, "{wanted}");
        }
    }
}
