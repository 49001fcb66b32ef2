use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::view;
use crate::{client::RestClient, command::show};

/// A campaign command with an optional reason.
#[derive(Debug, Args)]
pub(super) struct StepArgs {
    /// Id of the campaign
    id: i64,
    /// Reason
    #[arg(long)]
    reason: Option<String>,
}

impl StepArgs {
    pub(super) async fn take(self, rest: &RestClient, step: &str) -> Result<()> {
        let body = self
            .reason
            .map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        take(rest, self.id, step, &body).await
    }
}

/// Runs a campaign command and prints the campaign's status.
pub(super) async fn take(rest: &RestClient, id: i64, step: &str, body: &Value) -> Result<()> {
    let answer = rest.post(&format!("campaigns/{id}/{step}"), body).await?;
    show(rest, &answer, view::summary);
    Ok(())
}
