use std::collections::VecDeque;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, Response, header::ACCEPT};
use serde_json::Value;
use tokio::time::timeout;

use crate::{RestClient, WAIT_TIMEOUT};

/// A stream of server-sent events.
pub struct Events {
    response: Response,
    text: String,
    pending: VecDeque<Event>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event type.
    pub name: String,
    /// The event data, decoded from JSON.
    pub data: Value,
}

impl Events {
    /// Opens the event stream at a path.
    pub async fn follow(rest: &RestClient, path: &str) -> Result<Self> {
        let request = rest
            .request(Method::GET, path)
            .header(ACCEPT, "text/event-stream");
        let response = request.send().await?.error_for_status()?;
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok());
        ensure!(
            kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            "{kind:?}"
        );
        Ok(Self {
            response,
            text: String::new(),
            pending: VecDeque::new(),
        })
    }

    /// The next event; `None` if the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let chunk = timeout(WAIT_TIMEOUT, self.response.chunk()).await;
            let Some(chunk) = chunk.context("timed out waiting for an event")?? else {
                return Ok(None);
            };
            self.text
                .push_str(std::str::from_utf8(&chunk).context("an event is not UTF-8")?);
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                self.pending.extend(parse(&event)?);
            }
        }
    }

    /// All events up to and including the first that matches.
    pub async fn collect_until(&mut self, is_last: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        while let Some(event) = self.next().await? {
            let found = is_last(&event);
            seen.push(event);
            if found {
                return Ok(seen);
            }
        }
        bail!("the stream ended before the expected event: {seen:#?}")
    }
}

/// Parses one event; `None` for a keep-alive comment.
fn parse(block: &str) -> Result<Option<Event>> {
    let (mut name, mut data) = ("message".to_owned(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    let data = serde_json::from_str(&data.join("\n")).with_context(|| block.to_owned())?;
    Ok(Some(Event { name, data }))
}
