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
    /// Its kind.
    pub name: String,
    /// What it says.
    pub data: Value,
}

impl Events {
    /// Follows the events at a path.
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

    /// The next event; none: the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let chunk = timeout(WAIT_TIMEOUT, self.response.chunk()).await;
            let Some(chunk) = chunk.context("no event came for a long time")?? else {
                return Ok(None);
            };
            self.text
                .push_str(std::str::from_utf8(&chunk).context("an event is no UTF-8")?);
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                self.pending.extend(parse(&event)?);
            }
        }
    }

    /// All events up to the first that is wanted, that one included.
    pub async fn collect_until(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut seen = Vec::new();
        while let Some(event) = self.next().await? {
            let found = wanted(&event);
            seen.push(event);
            if found {
                return Ok(seen);
            }
        }
        bail!("the stream ended before what was waited for: {seen:#?}")
    }
}

/// One block of lines; none: a comment that keeps the connection alive.
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
