use anyhow::Result;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use reqwest::Response;
use serde_json::{Map, Value, json};

use super::{
    PageArgs, device, listing, print, show,
    update_options::{OPTION_FACTS, RetryOptions},
};
use crate::client::{RECONNECT_DELAY, Remote, RestClient, table};

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
        options: RetryOptions,
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
                        format!(
                            "devices/{}/updates",
                            device::segment(&device.unwrap_or_default())
                        )
                    }
                };
                let answer = rest.get(&path, &part.query()).await?;
                show(&rest, &answer, |answer| listing(answer, &device::UPDATES));
            }
            Command::Show { id } => {
                let update = rest.get(&format!("updates/{id}"), &[]).await?;
                show(&rest, &update, sheet);
            }
            Command::Cancel { id, force, reason } => {
                let body = json!({ "reason": reason, "force": force });
                let update = rest.post(&format!("updates/{id}/cancel"), &body).await?;
                show(&rest, &update, sheet);
            }
            Command::Retry { id, options } => {
                let mut body = Map::new();
                options.set(&mut body);
                let path = format!("updates/{id}/retry");
                let update = rest.post(&path, &Value::Object(body)).await?;
                show(&rest, &update, sheet);
            }
            Command::Log { id, follow: true } => {
                follow(&rest, &format!("updates/{id}/log"), Until::UpdateEnds).await?;
            }
            Command::Log { id, .. } => {
                let log = rest.get(&format!("updates/{id}/log"), &[]).await?;
                show(&rest, &log, lines);
            }
        }
        Ok(())
    }
}

/// The facts about an update.
pub(super) fn sheet(update: &Value) -> String {
    let mut update = update.clone();
    // An ended update has no deadline, and a scheduled one does not have one yet.
    if !update["completed_at"].is_null() || update["status"] == "scheduled" {
        update["timeout_at"] = Value::Null;
    }
    let facts: [&[(&str, &str)]; 3] = [
        &[
            ("id", "/update_id"),
            ("device", "/device_id"),
            ("campaign", "/campaign_id"),
            ("firmware", "/firmware_name"),
            ("from", "/from_version"),
            ("to", "/to_version"),
            ("status", "/status"),
            ("phase", "/phase"),
            ("code", "/code"),
            ("percent", "/progress_percentage"),
        ],
        OPTION_FACTS,
        &[
            ("retry", "/retry_count"),
            ("max retries", "/max_retries"),
            ("retry of", "/retry_of"),
            ("scheduled", "/scheduled_at"),
            ("error", "/error_code"),
            ("why", "/error_message"),
            ("created", "/created_at"),
            ("started", "/started_at"),
            ("ended", "/completed_at"),
            ("times out at", "/timeout_at"),
        ],
    ];
    table::sheet(&update, &facts.concat())
}

pub(super) fn lines(log: &Value) -> String {
    let lines = log["lines"].as_array().map_or(&[][..], Vec::as_slice);
    let dropped = ["dropped", "dropped_lines"]
        .iter()
        .find_map(|name| log[name].as_u64())
        .filter(|dropped| *dropped > 0);
    let dropped = dropped.map(|dropped| format!("({dropped} older lines were dropped)"));
    let output: Vec<String> = dropped.into_iter().chain(lines.iter().map(line)).collect();
    if output.is_empty() {
        return "none".to_owned();
    }
    output.join("\n")
}

fn line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    format!("{} {:>8}  {}", text("at"), text("source"), text("text"))
}

/// When to stop following a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    UpdateEnds,
    /// The user interrupts it.
    Stopped,
}

/// Prints lines as they arrive. The server ends every stream after a while, so an ended stream is resumed.
pub(super) async fn follow(rest: &RestClient, path: &str, until: Until) -> Result<()> {
    let mut last = None;
    loop {
        let answer = rest.events(path, last.as_deref()).await?;
        let ended = show_events(rest, answer, &mut last).await;
        if ended && until == Until::UpdateEnds {
            return Ok(());
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Prints a stream's events, and stores the id of the last one. Returns whether the last event reported the end of the
/// update.
async fn show_events(rest: &RestClient, answer: Response, last: &mut Option<String>) -> bool {
    let mut ended = false;
    let mut chunks = answer.bytes_stream();
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            print_event(rest, &event);
            if let Some(id) = field(&event, "id") {
                *last = Some(id.to_owned());
            }
            ended = field(&event, "event") == Some("end");
        }
    }
    ended
}

fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    event
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn print_event(rest: &RestClient, event: &str) {
    let data = field(event, "data").and_then(|data| serde_json::from_str::<Value>(data).ok());
    let Some(data) = data else {
        return;
    };
    let id = &data["update_id"];
    let status = data["status"].as_str().unwrap_or_default();
    match field(event, "event") {
        _ if rest.wants_json() => print(&data),
        Some("line") => print(line(&data)),
        Some("update") => print(format_args!("update {id} is {status}")),
        Some("end") => print(format_args!("update {id} ended as {status}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_updates_show_a_deadline() {
        let update = |status: &str, completed_at: Option<&str>| {
            sheet(&json!({"status": status, "completed_at": completed_at, "timeout_at": "12:00"}))
        };
        assert!(update("offered", None).contains("times out at  12:00"));
        assert!(!update("completed", Some("11:00")).contains("12:00"));
        assert!(!update("scheduled", None).contains("12:00"));
    }

    #[test]
    fn a_log_is_shown_line_by_line() {
        let log = json!({
            "dropped": 3,
            "lines": [
                {"at": "2026-05-01T12:00:00.000Z", "source": "device", "text": "erasing"},
                {"at": "2026-05-01T12:00:01.000Z", "source": "host", "text": "cancelled"},
            ],
        });
        assert_eq!(
            lines(&log),
            "(3 older lines were dropped)\n\
             2026-05-01T12:00:00.000Z   device  erasing\n\
             2026-05-01T12:00:01.000Z     host  cancelled"
        );
        assert_eq!(lines(&json!({"lines": []})), "none");
    }
}
