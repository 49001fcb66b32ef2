use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tidegate_core::{Named as _, update::UpdateStatus};

use super::{
    PageArgs, enum_value, listing, show,
    update_log::{FollowEnd, follow, lines},
    update_options::RetryFlags,
    update_view::{UPDATES, decision, details},
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
    /// List the updates of a campaign, of a device or of all devices, newest first
    List {
        #[command(flatten)]
        of: UpdateScope,
        /// Only updates with this status, such as `waiting_approval`
        #[arg(long, value_parser = enum_value::<UpdateStatus>())]
        status: Option<UpdateStatus>,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Show an update
    Show {
        /// Id of the update
        id: i32,
    },
    /// Approve or reject an update of another user, with all updates of the same bulk update
    Approve {
        /// Id of the update, or of the approval
        id: i32,
        /// Reject it: its updates end
        #[arg(long)]
        reject: bool,
        /// Comment
        #[arg(long, default_value = "")]
        comment: String,
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
#[group(multiple = false)]
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
            Command::List { of, status, part } => {
                let path = match (of.campaign, of.device) {
                    (Some(campaign), _) => format!("campaigns/{campaign}/updates"),
                    (None, Some(device)) => format!("devices/{}/updates", segment(&device)),
                    (None, None) => "updates".to_owned(),
                };
                let mut query = part.query();
                query.extend(status.map(|status| ("status", status.as_str().to_owned())));
                let answer = rest.get(&path, &query).await?;
                show(&rest, &answer, |answer| listing(answer, &UPDATES));
            }
            Command::Show { id } => {
                let update = rest.get(&format!("updates/{id}"), &[]).await?;
                show(&rest, &update, details);
            }
            Command::Approve {
                id,
                reject,
                comment,
            } => {
                let body = json!({ "approved": !reject, "approval_comment": comment });
                let decided = rest.post(&format!("updates/{id}/approve"), &body).await?;
                show(&rest, &decided, decision);
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
