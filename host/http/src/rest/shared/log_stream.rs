//! Streams the log of an update, or of all updates of a device.

use std::{sync::Arc, time::Duration};

use axum::response::{Response, sse::Event};
use http::{HeaderMap, header::ACCEPT};
use tidegate_core::id::{DeviceKey, UpdateId};
use tidegate_engine::{Ctx, Engine, tenants::ActorCredential, updates};

use super::{LogLineBody, UpdateBody};
use crate::{
    AppState,
    problem::Result,
    rest::event_stream::{EventBatch, EventSource, NextPoll, event_stream, json_event},
};

/// Maximum number of lines read in one poll.
const PAGE_LINES: u32 = 200;

/// Whether the client accepts an event stream.
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .filter_map(|kind| kind.split(';').next())
            .any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Streams the log of an update until it ends; without an update, the logs of the device's updates one after the other.
pub(crate) fn follow_logs(
    state: &AppState,
    (ctx, credential): (Ctx, ActorCredential),
    device: DeviceKey,
    update: Option<UpdateId>,
    headers: &HeaderMap,
) -> Result<Response> {
    let last = last_event_id(headers).filter(|(id, _)| update.is_none_or(|update| update == *id));
    let signals = state.engine.signals().watch_logs();
    let logs = LogEvents {
        engine: state.engine.clone(),
        ctx: ctx.clone(),
        device,
        follows_next_update: update.is_none(),
        current: last.map(|(id, _)| id).or(update),
        after: last.map_or(0, |(_, line)| line),
        announced: last.map(|(id, _)| id),
    };
    event_stream(state, &ctx, credential, signals, logs)
}

/// Event source for one client of a device's logs.
struct LogEvents {
    engine: Arc<Engine>,
    ctx: Ctx,
    device: DeviceKey,
    /// Whether the stream continues with the device's next update when this one has ended.
    follows_next_update: bool,
    /// The update whose log is read; none: the newest is still to be looked up.
    current: Option<UpdateId>,
    /// The number of the last line sent.
    after: u64,
    /// The last update that an `update` event was sent for.
    announced: Option<UpdateId>,
}

impl EventSource for LogEvents {
    type Topic = DeviceKey;

    /// Short, because people watch logs live.
    const MAX_POLL_INTERVAL: Duration = Duration::from_secs(3);

    fn topic(&self) -> DeviceKey {
        self.device
    }

    async fn poll(&mut self) -> Result<EventBatch> {
        let Some(update) = self.current else {
            return self.find_newest().await;
        };
        let log = updates::log(
            &self.ctx,
            self.engine.store(),
            update,
            Some(self.after),
            PAGE_LINES,
        )
        .await?;
        let is_last_page = log.lines.len() < PAGE_LINES as usize;
        let is_open = log.update.update.state.status.is_open();
        let body = UpdateBody::from(log.update);
        let mut events = Vec::new();
        if self.announced != Some(update) {
            self.announced = Some(update);
            events.push(json_event("update", self.event_id(update), &body)?);
        }
        for line in log.lines {
            let line = LogLineBody::from(line);
            self.after = line.number;
            events.push(json_event("line", self.event_id(update), &line)?);
        }
        let next = match (is_last_page, is_open) {
            (false, _) => NextPoll::Immediately,
            (true, true) => NextPoll::OnChange,
            (true, false) => self.finish_update(update, &body, &mut events).await?,
        };
        Ok(EventBatch { events, next })
    }
}

impl LogEvents {
    /// Looks up the device's newest update, if there is one.
    async fn find_newest(&mut self) -> Result<EventBatch> {
        self.current = updates::newest_update(&self.ctx, self.engine.store(), self.device).await?;
        let next = if self.current.is_some() {
            NextPoll::Immediately
        } else {
            NextPoll::OnChange
        };
        let events = Vec::new();
        Ok(EventBatch { events, next })
    }

    /// Continues after an update that has ended and whose log was sent completely.
    async fn finish_update(
        &mut self,
        update: UpdateId,
        body: &UpdateBody,
        events: &mut Vec<Event>,
    ) -> Result<NextPoll> {
        if !self.follows_next_update {
            events.push(json_event("end", self.event_id(update), body)?);
            return Ok(NextPoll::End);
        }
        let newest = updates::newest_update(&self.ctx, self.engine.store(), self.device).await?;
        let Some(newest) = newest.filter(|newest| *newest > update) else {
            return Ok(NextPoll::OnChange);
        };
        events.push(json_event("end", self.event_id(update), body)?);
        self.current = Some(newest);
        self.after = 0;
        Ok(NextPoll::Immediately)
    }

    /// The event id of the last line sent.
    fn event_id(&self, update: UpdateId) -> String {
        format!("{update}:{}", self.after)
    }
}

/// The update and the line number in `Last-Event-ID`.
fn last_event_id(headers: &HeaderMap) -> Option<(UpdateId, u64)> {
    let text = headers.get("last-event-id")?.to_str().ok()?;
    let (update, line) = text.split_once(':')?;
    Some((update.parse().ok()?, line.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn the_accept_header_selects_an_event_stream() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            assert_eq!(
                accepts_event_stream(&headers("accept", accept)),
                expected,
                "{accept}"
            );
        }
        assert!(!accepts_event_stream(&HeaderMap::new()));
    }

    #[test]
    fn last_event_ids_name_an_update_and_a_line() {
        for (text, expected) in [
            ("7:12", Some((UpdateId(7), 12))),
            ("7:0", Some((UpdateId(7), 0))),
            ("7", None),
            ("7:-1", None),
            ("x:1", None),
            ("", None),
        ] {
            assert_eq!(
                last_event_id(&headers("last-event-id", text)),
                expected,
                "{text}"
            );
        }
    }
}
