use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::visible_text::visible;

use super::view;
use crate::{
    client::{RestClient, segment},
    command::{print_error, show},
};

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
    if step == "start" {
        print_warnings(&answer);
    }
    Ok(())
}

/// Prints the risks that a campaign takes to stderr.
pub(super) fn print_warnings(campaign: &Value) {
    let warnings = campaign["warnings"].as_array().into_iter().flatten();
    for warning in warnings.filter_map(Value::as_str) {
        print_error(format_args!("warning: {}", visible(warning)));
    }
}

/// Which gate a campaign is advanced past.
#[derive(Debug, Args)]
pub(super) struct AdvanceArgs {
    /// Id of the campaign
    id: i64,
    /// Index of the wave
    #[arg(required_unless_present = "gate", conflicts_with = "gate")]
    wave: Option<u32>,
    /// Name of the gate at which the campaign waits, instead of a wave
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
}

impl AdvanceArgs {
    /// Advances the campaign, and prints what became of it.
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let id = self.id;
        let (path, what) = match (&self.gate, self.wave) {
            (Some(gate), _) => {
                let name = segment(gate);
                (format!("gates/{name}"), format!("gate '{}'", visible(gate)))
            }
            (None, wave) => {
                let wave = wave.unwrap_or_default();
                (format!("waves/{wave}"), format!("wave {wave}"))
            }
        };
        let answer = rest
            .post(&format!("campaigns/{id}/{path}/advance"), &json!({}))
            .await?;
        show(rest, &answer, |campaign| {
            let summary = view::summary(campaign);
            match campaign["applied"].as_bool() {
                Some(true) => format!("{what} is open; {summary}"),
                Some(false) => summary,
                None => format!(
                    "the strategy has not decided yet; `tidegate campaign show {id}` shows the result; {summary}"
                ),
            }
        });
        if answer["applied"] == false {
            let reason = answer["reason"].as_str().unwrap_or_default();
            bail!("{what} did not open: {}", visible(reason));
        }
        Ok(())
    }
}
