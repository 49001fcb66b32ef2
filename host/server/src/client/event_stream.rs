use anyhow::{Result, bail};
use reqwest::Response;

/// Maximum size of an event. Those of a server are much smaller.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// What ends an event.
const BLANK_LINE: &[u8] = b"\n\n";

/// The events that a server sends.
pub(crate) struct EventStream {
    response: Response,
    received: Vec<u8>,
    /// How many of the received bytes begin no blank line.
    searched: usize,
}

impl EventStream {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            received: Vec::new(),
            searched: 0,
        }
    }

    /// The next event; `None`: the stream has ended. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(event) = self.take_event() {
                return Ok(Some(event));
            }
            if self.received.len() > MAX_EVENT_BYTES {
                bail!(
                    "the server at {} has sent an event of more than {} KiB",
                    self.response.url().origin().ascii_serialization(),
                    MAX_EVENT_BYTES >> 10
                );
            }
            // The server, or a proxy, ends every stream after a while.
            let Ok(Some(chunk)) = self.response.chunk().await else {
                return Ok(None);
            };
            self.received.extend_from_slice(&chunk);
        }
    }

    fn take_event(&mut self) -> Option<String> {
        let mut pairs = self.received[self.searched..].windows(BLANK_LINE.len());
        let Some(at) = pairs.position(|pair| pair == BLANK_LINE) else {
            self.searched = self.received.len().saturating_sub(1);
            return None;
        };
        let end = self.searched + at + BLANK_LINE.len();
        let event: Vec<u8> = self.received.drain(..end).collect();
        self.searched = 0;
        Some(String::from_utf8_lossy(&event).into_owned())
    }
}
