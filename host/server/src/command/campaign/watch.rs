use std::time::Duration;

use anyhow::{Result, bail};
use futures::FutureExt as _;
use serde_json::Value;
use tidegate_core::{Named as _, campaign::CampaignStatus};

use super::view;
use crate::{
    client::{EventStream, Problem, RECONNECT_DELAY, RestClient},
    command::{print, print_error, print_json, repeat_while_busy, visible_value},
};

/// Maximum time without an event before the campaign is read again.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Interval of reading the campaign while the server has no event stream left.
const FALLBACK_INTERVAL: Duration = Duration::from_secs(2);
/// Events within this time are handled together.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Watches a campaign until it ends: each event causes it to be read again. Without an event stream it is polled.
pub(super) async fn watch(rest: &RestClient, id: i64) -> Result<()> {
    let mut seen = WatchState::default();
    let mut is_polling = false;
    loop {
        let Some(mut events) = open_stream(rest, id).await? else {
            if !is_polling {
                is_polling = true;
                print_error(format_args!(
                    "too many event streams are open: reading the campaign every {} s",
                    FALLBACK_INTERVAL.as_secs()
                ));
            }
            if has_ended(&seen.refresh(rest, id).await?)? {
                return Ok(());
            }
            tokio::time::sleep(FALLBACK_INTERVAL).await;
            continue;
        };
        is_polling = false;
        // The server, or a proxy, ends every stream before a campaign ends.
        let mut is_streaming = true;
        while is_streaming {
            if has_ended(&seen.refresh(rest, id).await?)? {
                return Ok(());
            }
            is_streaming = wait(&mut events).await?;
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

/// `None`: too many streams are open.
async fn open_stream(rest: &RestClient, id: i64) -> Result<Option<EventStream>> {
    let path = format!("campaigns/{id}/events");
    let open = async || match rest.events(&path, None).await {
        Ok(events) => Ok(Some(events)),
        Err(error) => match error.downcast_ref::<Problem>() {
            Some(problem) if problem.is_too_many_streams() => Ok(None),
            _ => Err(error),
        },
    };
    repeat_while_busy(open).await
}

/// An error if the campaign has ended without success.
fn has_ended(campaign: &Value) -> Result<bool> {
    match view::status(campaign) {
        Some(CampaignStatus::Completed | CampaignStatus::RolledBack) => Ok(true),
        Some(status @ (CampaignStatus::Failed | CampaignStatus::Cancelled)) => {
            bail!("the campaign ended as {}", status.as_str())
        }
        // A newer server may have a status that this client does not know.
        _ => Ok(false),
    }
}

/// Returns after an event or the poll interval; false if the stream has ended.
async fn wait(events: &mut EventStream) -> Result<bool> {
    let event = tokio::time::timeout(POLL_INTERVAL, events.next()).await;
    tokio::time::sleep(DEBOUNCE).await;
    if let Ok(event) = event
        && event?.is_none()
    {
        return Ok(false);
    }
    while let Some(event) = events.next().now_or_never() {
        if event?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was printed already.
#[derive(Default)]
struct WatchState {
    summary: String,
    notes: Vec<String>,
    entries: usize,
}

impl WatchState {
    /// Reads the campaign and its new journal entries, and prints what is new.
    async fn refresh(&mut self, rest: &RestClient, id: i64) -> Result<Value> {
        let query = [
            ("limit", "500".to_owned()),
            ("offset", self.entries.to_string()),
        ];
        let (campaign, journal) = (format!("campaigns/{id}"), format!("campaigns/{id}/journal"));
        let journal = repeat_while_busy(async || rest.get(&journal, &query).await).await?;
        let campaign = repeat_while_busy(async || rest.get(&campaign, &[]).await).await?;
        let entries = journal["items"].as_array().map_or(&[][..], Vec::as_slice);
        self.entries += entries.len();
        if rest.wants_json() {
            print_json(&campaign);
            return Ok(campaign);
        }
        for entry in entries {
            self.print_entry(&visible_value(entry));
        }
        let summary = view::summary(&visible_value(&campaign));
        if summary != self.summary {
            print(&summary);
            self.summary = summary;
        }
        Ok(campaign)
    }

    /// Prints an entry's explanation, unless the same plugin gave the same one before.
    fn print_entry(&mut self, entry: &Value) {
        let plugin = entry["plugin"]
            .as_str()
            .filter(|name| !name.is_empty())
            .unwrap_or("host");
        let sentences = entry["explain"].as_array().map_or(&[][..], Vec::as_slice);
        for sentence in sentences.iter().filter_map(Value::as_str) {
            let line = format!("  {plugin}: {sentence}");
            if !self.notes.contains(&line) {
                print(&line);
                self.notes.push(line);
            }
        }
    }
}
