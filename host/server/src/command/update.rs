use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    PageArgs, listing, show,
    update_log::{FollowEnd, follow, lines},
    update_options::RetryFlags,
    update_view::{UPDATES, details},
};
use crate::client::{Remote, RestClient, segment};

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the updates of a campaign or of a device, newest first
    List {
        #[command(flatten)]
        of: UpdateScope,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Show an update
    Show {
        /// Id of the update
        id: i32,
    },
    /// Cancel an update; its device has to agree
    Cancel {
        /// Id of the update
        id: i32,
        /// End an update that is being cancelled, without waiting for its device
        #[arg(long)]
        force: bool,
        /// Reason
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Retry an update that ended without success
    Retry {
        /// Id of the update
        id: i32,
        #[command(flatten)]
        options: RetryFlags,
    },
    /// Show the log of an update
    Log {
        /// Id of the update
        id: i32,
        /// Follow the log until the update ends
        #[arg(long, short)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct UpdateScope {
    /// Id of the campaign
    #[arg(long)]
    campaign: Option<i64>,
    /// Id of the device
    #[arg(long)]
    device: Option<String>,
}

impl Update {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::List { of, part } => {
                let path = match (of.campaign, of.device) {
                    (Some(campaign), _) => format!("campaigns/{campaign}/updates"),
                    (None, device) => {
                        format!("devices/{}/updates", segment(&device.unwrap_or_default()))
                    }
                };
                let answer = rest.get(&path, &part.query()).await?;
                show(&rest, &answer, |answer| listing(answer, &UPDATES));
            }
            Command::Show { id } => {
                let update = rest.get(&format!("updates/{id}"), &[]).await?;
                show(&rest, &update, details);
            }
            Command::Cancel { id, force, reason } => {
                let body = json!({ "reason": reason, "force": force });
                let update = rest.post(&format!("updates/{id}/cancel"), &body).await?;
                show(&rest, &update, details);
            }
            Command::Retry { id, options } => {
                let mut body = Map::new();
                options.set(&mut body);
                let path = format!("updates/{id}/retry");
                let update = rest.post(&path, &Value::Object(body)).await?;
                show(&rest, &update, details);
            }
            Command::Log { id, follow: true } => {
                follow(&rest, &format!("updates/{id}/log"), FollowEnd::UpdateEnds).await?;
            }
            Command::Log { id, .. } => {
                let log = rest.get(&format!("updates/{id}/log"), &[]).await?;
                show(&rest, &log, lines);
            }
        }
        Ok(())
    }
}
