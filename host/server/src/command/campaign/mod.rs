mod create;
mod journal;
mod step;
mod view;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{PageArgs, device::UPDATES, listing, show};
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
    /// Make a campaign
    Create(Box<create::Create>),
    /// List campaigns, newest first
    List {
        #[command(flatten)]
        part: PageArgs,
        /// Only those that stand here, such as `in_progress`
        #[arg(long)]
        status: Option<String>,
    },
    /// Show a campaign and its waves
    Show {
        /// Its id
        id: i64,
    },
    /// Show a campaign's waves
    Waves {
        /// Its id
        id: i64,
    },
    /// List a campaign's updates, newest first
    Updates {
        /// Its id
        id: i64,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Approve a campaign that somebody else made
    Approve {
        /// Its id
        id: i64,
        /// For the others
        #[arg(long)]
        comment: Option<String>,
        /// Say no instead
        #[arg(long)]
        reject: bool,
    },
    /// Start a campaign
    Start {
        /// Its id
        id: i64,
        /// Go on watching it
        #[arg(long)]
        watch: bool,
    },
    /// Release nothing more for now
    Pause(step::StepArgs),
    /// Go on after a pause or a hold
    Resume {
        /// Its id
        id: i64,
    },
    /// Stop for good, and call back what is in flight
    Cancel(step::StepArgs),
    /// Bring back what was there before
    Rollback(step::StepArgs),
    /// Go on past the gate before a wave
    Advance {
        /// Its id
        id: i64,
        /// The wave's index
        wave: u32,
    },
    /// Follow a campaign to its end; exit code 0 when it completed or was rolled back
    Watch {
        /// Its id
        id: i64,
    },
    /// Every decision of a campaign
    Journal {
        /// Its id
        id: i64,
        #[command(flatten)]
        part: PageArgs,
    },
    /// Run recorded decisions again; exit code 0 when all are the same, bit for bit
    Replay(journal::Replay),
}

impl Campaign {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::Create(create) => create.run(&rest).await,
            Command::List { part, status } => {
                let mut query = part.query();
                query.extend(status.map(|status| ("status", status)));
                let answer = rest.get("campaigns", &query).await?;
                show(&rest, &answer, |answer| listing(answer, &view::CAMPAIGNS));
                Ok(())
            }
            Command::Show { id } => {
                let answer = rest.get(&format!("campaigns/{id}"), &[]).await?;
                show(&rest, &answer, view::sheet);
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
            Command::Advance { id, wave } => {
                step::take(&rest, id, &format!("waves/{wave}/advance"), &json!({})).await
            }
            Command::Watch { id } => watch::watch(&rest, id).await,
            Command::Journal { id, part } => journal::list(&rest, id, &part).await,
            Command::Replay(replay) => replay.run(&rest).await,
        }
    }
}
