//! The log of an update: shown at once, or followed.

use anyhow::Result;
use serde_json::Value;

use super::{print, print_json, repeat_while_busy, visible_value};
use crate::client::{EventStream, RECONNECT_DELAY, RestClient};

/// The lines of a log, and how many of them were dropped.
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
pub(super) enum FollowEnd {
    UpdateEnds,
    /// The user interrupts it.
    Stopped,
}

/// Prints lines as they arrive. The server ends every stream after a while, so an ended stream is resumed.
pub(super) async fn follow(rest: &RestClient, path: &str, until: FollowEnd) -> Result<()> {
    let mut last = None;
    loop {
        let events = repeat_while_busy(async || rest.events(path, last.as_deref()).await).await?;
        let ended = show_events(rest, events, &mut last).await?;
        if ended && until == FollowEnd::UpdateEnds {
            return Ok(());
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// Prints a stream's events, and stores the id of the last one. Returns whether the last event reported the end of the
/// update.
async fn show_events(
    rest: &RestClient,
    mut events: EventStream,
    last: &mut Option<String>,
) -> Result<bool> {
    let mut ended = false;
    while let Some(event) = events.next().await? {
        print_event(rest, &event);
        if let Some(id) = field(&event, "id") {
            *last = Some(id.to_owned());
        }
        ended = field(&event, "event") == Some("end");
    }
    Ok(ended)
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
    if rest.wants_json() {
        print_json(&data);
        return;
    }
    let data = visible_value(&data);
    let id = &data["update_id"];
    let status = data["status"].as_str().unwrap_or_default();
    match field(event, "event") {
        Some("line") => print(line(&data)),
        Some("update") => print(format_args!("update {id} is {status}")),
        Some("end") => print(format_args!("update {id} ended as {status}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
