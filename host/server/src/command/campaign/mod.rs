mod create;
mod journal;
mod move_revision;
mod replay;
mod step;
mod view;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use tidegate_core::{Named as _, campaign::CampaignStatus};

use super::{PageArgs, enum_value, listing, print, show, update_view::UPDATES};
use crate::client::{Remote, RestClient};

#[derive(Debug, Args)]
pub(super) struct Campaign {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a campaign
    Create(Box<create::Create>),
    Set(Box<create::Set>),
    /// List campaigns, newest first
    List {
        #[command(flatten)]
        part: PageArgs,
        /// Only campaigns in this status
        #[arg(long, value_parser = enum_value::<CampaignStatus>())]
        status: Option<CampaignStatus>,
    },
    /// Show a campaign and its waves
    Show {
        /// Id of the campaign
        id: i64,
    },
    /// Show a campaign's waves
    Waves {
        /// Id of the campaign
        id: i64,
    },
    /// List a campaign's updates, newest first
    Updates {
        /// Id of the campaign
        id: i64,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Approve or reject a campaign of another user
    Approve {
        /// Id of the campaign
        id: i64,
        /// Comment, or the reason of a rejection
        #[arg(long)]
        comment: Option<String>,
        /// Reject the campaign: it ends as cancelled
        #[arg(long)]
        reject: bool,
    },
    /// Delete a campaign that has never started
    Delete {
        /// Id of the campaign
        id: i64,
    },
    /// Start a campaign
    Start {
        /// Id of the campaign
        id: i64,
        /// Watch the campaign after starting it
        #[arg(long)]
        watch: bool,
    },
    /// Pause a campaign: release no more devices
    Pause(step::StepArgs),
    /// Resume a paused or held campaign
    Resume {
        /// Id of the campaign
        id: i64,
    },
    /// Cancel a campaign and its open updates
    Cancel(step::StepArgs),
    /// Roll devices back to their previous firmware
    Rollback(step::StepArgs),
    /// Open the next wave, whatever gate is closed; exit code 1 if it does not open
    Advance(step::AdvanceArgs),
    Move(move_revision::Move),
    /// Watch a campaign until it ends; exit code 0 if it completed or was rolled back
    Watch {
        /// Id of the campaign
        id: i64,
    },
    /// List the decisions of a campaign
    Journal {
        /// Id of the campaign
        id: i64,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Print the question of a journal entry as a golden of its plugin, with the recorded answer
    Question {
        /// Id of the campaign
        id: i64,
        /// Journal entry
        entry: i64,
    },
    /// Replay recorded decisions; exit code 1 if a result differs
    Replay(replay::Replay),
}

impl Campaign {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::Create(create) => create.run(&rest).await,
            Command::Set(set) => set.run(&rest).await,
            Command::List { part, status } => {
                let mut query = part.query();
                query.extend(status.map(|status| ("status", status.as_str().to_owned())));
                let answer = rest.get("campaigns", &query).await?;
                show(&rest, &answer, |answer| listing(answer, &view::CAMPAIGNS));
                Ok(())
            }
            Command::Show { id } => {
                let answer = rest.get(&format!("campaigns/{id}"), &[]).await?;
                show(&rest, &answer, view::details);
                Ok(())
            }
            Command::Waves { id } => {
                let answer = rest.get(&format!("campaigns/{id}/waves"), &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &view::WAVES));
                Ok(())
            }
            Command::Updates { id, part } => {
                let answer = rest
                    .get(&format!("campaigns/{id}/updates"), &part.query())
                    .await?;
                show(&rest, &answer, |answer| listing(answer, &UPDATES));
                Ok(())
            }
            Command::Approve {
                id,
                comment,
                reject,
            } => {
                let mut body = json!({ "approved": !reject });
                if let Some(comment) = comment {
                    body["approval_comment"] = comment.into();
                }
                step::take(&rest, id, "approve", &body).await
            }
            Command::Delete { id } => {
                rest.delete(&format!("campaigns/{id}")).await?;
                print(format_args!("campaign {id} is deleted"));
                Ok(())
            }
            Command::Start { id, watch } => {
                step::take(&rest, id, "start", &json!({})).await?;
                if watch {
                    watch::watch(&rest, id).await
                } else {
                    Ok(())
                }
            }
            Command::Pause(step) => step.take(&rest, "pause").await,
            Command::Resume { id } => step::take(&rest, id, "resume", &json!({})).await,
            Command::Cancel(step) => step.take(&rest, "cancel").await,
            Command::Rollback(step) => step.take(&rest, "rollback").await,
            Command::Advance(advance) => advance.run(&rest).await,
            Command::Watch { id } => watch::watch(&rest, id).await,
            Command::Journal { id, part } => journal::list(&rest, id, &part).await,
            Command::Question { id, entry } => journal::question(&rest, id, entry).await,
            Command::Replay(replay) => replay.run(&rest).await,
            Command::Move(moved) => moved.run(&rest).await,
        }
    }
}
