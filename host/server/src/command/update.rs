use anyhow::Result;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use reqwest::Response;
use serde_json::{Value, json};

use super::{PageArgs, device, listing, print, show};
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
    /// Show one update
    Show {
        /// Its id
        id: i32,
    },
    /// Call an update back; its device has to agree
    Cancel {
        /// Its id
        id: i32,
        /// End one that is called back already, whatever its device makes of it
        #[arg(long)]
        force: bool,
        /// For the others
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Offer the firmware of an update that came to a bad end again
    Retry {
        /// Its id
        id: i32,
        #[command(flatten)]
        retries: Retries,
    },
    /// Show what was written while an update was under way
    Log {
        /// Its id
        id: i32,
        /// Go on to its end
        #[arg(long, short)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct UpdateScope {
    /// The campaign's id
    #[arg(long)]
    campaign: Option<i64>,
    /// The device's id
    #[arg(long)]
    device: Option<String>,
}

/// How often an update is tried again by itself.
#[derive(Debug, Args)]
pub(super) struct Retries {
    /// How often it is tried again when its device fails or falls silent, 0 to 10
    #[arg(long, value_name = "N")]
    max_retries: Option<u64>,
    /// Seconds before the first of these, 1 to 3600; doubled with each one more, up to an hour
    #[arg(long, value_name = "SECONDS", requires = "max_retries")]
    retry_delay: Option<u64>,
}

impl Retries {
    /// As fields of a body.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Value)> {
        let fields = [
            ("max_retries", self.max_retries),
            ("retry_delay", self.retry_delay),
        ];
        let set_fields =
            |(name, value): (&str, Option<u64>)| Some((name.to_owned(), json!(value?)));
        fields.into_iter().filter_map(set_fields)
    }
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
            Command::Retry { id, retries } => {
                let body = Value::Object(retries.fields().collect());
                let update = rest.post(&format!("updates/{id}/retry"), &body).await?;
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

/// What is known of an update.
pub(super) fn sheet(update: &Value) -> String {
    let mut update = update.clone();
    // One that has ended has no deadline any more, and one that is scheduled has none yet.
    if !update["completed_at"].is_null() || update["status"] == "scheduled" {
        update["timeout_at"] = Value::Null;
    }
    table::sheet(
        &update,
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
            ("window", "/maintenance_window/schedule"),
            ("retry", "/retry_count"),
            ("of at most", "/max_retries"),
            ("first try", "/retry_of"),
            ("scheduled", "/scheduled_at"),
            ("error", "/error_code"),
            ("why", "/error_message"),
            ("made", "/created_at"),
            ("started", "/started_at"),
            ("ended", "/completed_at"),
            ("ends at the latest", "/timeout_at"),
        ],
    )
}

/// The lines of a log.
pub(super) fn lines(log: &Value) -> String {
    let lines = log["lines"].as_array().map_or(&[][..], Vec::as_slice);
    let dropped = ["dropped", "dropped_lines"]
        .iter()
        .find_map(|name| log[name].as_u64())
        .filter(|dropped| *dropped > 0);
    let dropped = dropped.map(|dropped| format!("({dropped} older lines are not kept)"));
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

/// For how long lines are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    UpdateEnds,
    /// Somebody has seen enough.
    Stopped,
}

/// Shows lines as they come. A stream that ends before that is taken up again where it
/// ended: the server ends every one after a while.
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

/// Shows a stream's events, and keeps the id of the last one; whether that told of an update's end.
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

/// A field of an event.
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
        assert!(update("offered", None).contains("ends at the latest  12:00"));
        assert!(!update("completed", Some("11:00")).contains("12:00"));
        assert!(!update("scheduled", None).contains("12:00"));
    }

    #[test]
    fn a_log_is_shown_line_by_line() {
        let log = json!({
            "dropped": 3,
            "lines": [
                {"at": "2026-05-01T12:00:00.000Z", "source": "device", "text": "erasing"},
                {"at": "2026-05-01T12:00:01.000Z", "source": "host", "text": "called back"},
            ],
        });
        assert_eq!(
            lines(&log),
            "(3 older lines are not kept)\n\
             2026-05-01T12:00:00.000Z   device  erasing\n\
             2026-05-01T12:00:01.000Z     host  called back"
        );
        assert_eq!(lines(&json!({"lines": []})), "none");
    }
}
