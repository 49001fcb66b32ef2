mod auto_confirm;
mod change;
mod token;
mod update;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{PageArgs, listing, more, show, update_view::UPDATES};
use crate::client::{Remote, RestClient, segment, table};

#[derive(Debug, Args)]
pub(super) struct Device {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List devices
    List {
        #[command(flatten)]
        part: PageArgs,
        /// Only devices that match this selector: `hw_model==rpi4;sw_version=lt=2.0.0`
        #[arg(long, short, value_name = "RSQL")]
        query: Option<String>,
        /// Sort order: `device_id`, or `last_seen:desc`
        #[arg(long)]
        sort: Option<String>,
    },
    /// Show a device and its updates
    Show {
        /// Id of the device
        id: String,
    },
    /// Create a device before it is first seen; its token is shown once
    Create(change::Create),
    /// Change a device: name, groups, feed, labels, mode, pin, polling interval
    Set(change::Set),
    /// Delete a device with its updates and feedback
    Delete {
        /// Id of the device
        id: String,
    },
    /// Replace or revoke a device's token
    #[command(subcommand)]
    Token(token::Token),
    /// Confirm all updates of a device in advance, or stop doing so
    AutoConfirm(auto_confirm::AutoConfirm),
    /// List attribute changes from a device's reports, newest first
    Changes {
        /// Id of the device
        id: String,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Offer a firmware to a device
    Update(update::Update),
    /// Roll a device back to its previous firmware
    Rollback(update::Rollback),
    /// Show a device's log of its current update
    Log(update::Log),
    /// Explain why each campaign has, or has not, updated a device
    Explain {
        /// Id of the device
        id: String,
        /// Only this campaign, even if it has not started
        #[arg(long, value_name = "ID")]
        campaign: Option<i64>,
        #[command(flatten)]
        part: PageArgs,
    },
}

impl Device {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::List { part, query, sort } => {
                let mut parameters = part.query();
                parameters.extend(query.map(|query| ("q", query)));
                parameters.extend(sort.map(|sort| ("sort", sort)));
                let answer = rest.get("devices", &parameters).await?;
                show(&rest, &answer, |answer| listing(answer, &DEVICES));
            }
            Command::Show { id } => {
                let id = segment(&id);
                let mut device = rest.get(&format!("devices/{id}"), &[]).await?;
                device["updates"] =
                    rest.get(&format!("devices/{id}/updates"), &[]).await?["items"].take();
                show(&rest, &device, details);
            }
            Command::Create(create) => create.run(&rest).await?,
            Command::Set(set) => set.run(&rest).await?,
            Command::Delete { id } => change::delete(&rest, &id).await?,
            Command::Token(token) => token.run(&rest).await?,
            Command::AutoConfirm(auto_confirm) => auto_confirm.run(&rest).await?,
            Command::Changes { id, part } => {
                let path = format!("devices/{}/attributes/history", segment(&id));
                let answer = rest.get(&path, &part.query()).await?;
                show(&rest, &answer, |answer| listing(answer, &CHANGES));
            }
            Command::Update(update) => update.run(&rest).await?,
            Command::Rollback(rollback) => rollback.run(&rest).await?,
            Command::Log(log) => log.run(&rest).await?,
            Command::Explain { id, campaign, part } => {
                let mut parameters = part.query();
                parameters.extend(campaign.map(|id| ("campaign_id", id.to_string())));
                let path = format!("devices/{}/explain", segment(&id));
                let answer = rest.get(&path, &parameters).await?;
                show(&rest, &answer, explanation);
            }
        }
        Ok(())
    }
}

fn details(device: &Value) -> String {
    let details = table::details(
        device,
        &[
            ("id", "/device_id"),
            ("name", "/name"),
            ("state", "/state"),
            ("hardware", "/hw_model"),
            ("revision", "/hw_revision"),
            ("version", "/sw_version"),
            ("unstable version", "/unstable_version"),
            ("groups", "/groups"),
            ("feed", "/feed"),
            ("labels", "/labels"),
            ("mode", "/mode"),
            ("pinned", "/pinned"),
            ("expected version", "/drift/expected"),
            ("last seen", "/last_seen"),
            ("address", "/address"),
            ("polling interval", "/polling_interval"),
            ("installed firmware", "/installed_firmware"),
            ("open update", "/open_update"),
            ("auto-confirm since", "/auto_confirm/activated_at"),
            ("auto-confirm by", "/auto_confirm/initiator"),
            ("auto-confirm remark", "/auto_confirm/remark"),
            ("attributes", "/attributes"),
        ],
    );
    let updates = device["updates"].as_array().map_or(&[][..], Vec::as_slice);
    if updates.is_empty() {
        return details;
    }
    format!("{details}\n\n{}", table::list(updates, &UPDATES))
}

fn explanation(answer: &Value) -> String {
    let campaigns = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let reasons = answer["device"]["reasons"].as_array();
    let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
    let mut lines: Vec<_> = reasons.map(str::to_owned).collect();
    for campaign in campaigns {
        lines.push(format!(
            "campaign {} {} ({}): {}",
            campaign["campaign_id"],
            campaign["campaign_name"].as_str().unwrap_or_default(),
            campaign["campaign_status"].as_str().unwrap_or_default(),
            campaign["standing"]
                .as_str()
                .unwrap_or_default()
                .replace('_', " "),
        ));
        let reasons = campaign["reasons"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        lines.extend(
            reasons
                .iter()
                .filter_map(Value::as_str)
                .map(|reason| format!("  {reason}")),
        );
    }
    if campaigns.is_empty() {
        lines.push("no campaign concerns it".to_owned());
    }
    lines.extend(more(answer));
    lines.join("\n")
}

const DEVICES: [table::Column<'_>; 6] = [
    ("ID", "/device_id"),
    ("STATE", "/state"),
    ("HARDWARE", "/hw_model"),
    ("VERSION", "/sw_version"),
    ("GROUPS", "/groups"),
    ("LAST SEEN", "/last_seen"),
];

const CHANGES: [table::Column<'_>; 5] = [
    ("AT", "/at"),
    ("REPORT", "/report"),
    ("KEY", "/key"),
    ("BEFORE", "/before"),
    ("AFTER", "/after"),
];
