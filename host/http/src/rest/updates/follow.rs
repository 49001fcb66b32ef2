use std::{sync::Arc, time::Duration};

use axum::response::{Response, sse::Event};
use http::{HeaderMap, header::ACCEPT};
use tidegate_core::id::{DeviceKey, UpdateId};
use tidegate_engine::{Engine, tenants::Actor, updates};

use super::log_body::LineBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        devices::UpdateBody,
        event_stream::{Followed, Look, Next, event, event_stream},
    },
};

/// Most lines that are read at once.
const PAGE: u32 = 200;

/// Whether events are asked for.
pub(crate) fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .filter_map(|kind| kind.split(';').next())
            .any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Follows the log of this update to its end; without one, the logs of the device's updates, one after the other.
pub(crate) fn follow(
    state: &AppState,
    actor: Actor,
    device: DeviceKey,
    update: Option<UpdateId>,
    headers: &HeaderMap,
) -> Result<Response> {
    let last = last_event_id(headers).filter(|(id, _)| update.is_none_or(|update| update == *id));
    let signals = state.engine.signals.watch_logs();
    let tenant = actor.tenant;
    let logs = Logs {
        engine: state.engine.clone(),
        actor,
        device,
        goes_on: update.is_none(),
        at: last.map(|(id, _)| id).or(update),
        after: last.map_or(0, |(_, line)| line),
        announced: last.map(|(id, _)| id),
    };
    event_stream(state, tenant, signals, logs)
}

/// Logs as one client follows them.
struct Logs {
    engine: Arc<Engine>,
    actor: Actor,
    device: DeviceKey,
    /// Whether the device's next update is followed when this one has ended.
    goes_on: bool,
    /// The update whose log is read; none yet: the device's newest.
    at: Option<UpdateId>,
    /// The last line of it that was shown.
    after: u64,
    /// The update that an `update` event told of.
    announced: Option<UpdateId>,
}

impl Followed for Logs {
    type Name = DeviceKey;

    /// Whoever follows a log sits before it.
    const FALLBACK: Duration = Duration::from_secs(3);

    fn name(&self) -> DeviceKey {
        self.device
    }

    async fn look(&mut self) -> Result<Look> {
        let Some(at) = self.at else {
            return self.find().await;
        };
        let log = updates::log(&self.engine, &self.actor, at, Some(self.after), PAGE).await?;
        let is_whole = log.lines.len() < PAGE as usize;
        let is_open = log.update.update.progress.status.is_open();
        let body = UpdateBody::from(log.update);
        let mut events = Vec::new();
        if self.announced != Some(at) {
            self.announced = Some(at);
            events.push(event("update", self.id(at), &body)?);
        }
        for line in log.lines {
            let line = LineBody::from(line);
            self.after = line.number;
            events.push(event("line", self.id(at), &line)?);
        }
        let next = match (is_whole, is_open) {
            (false, _) => Next::AtOnce,
            (true, true) => Next::Changed,
            (true, false) => self.ended(at, &body, &mut events).await?,
        };
        Ok(Look { events, next })
    }
}

impl Logs {
    /// Finds the device's newest update, if it ever had one.
    async fn find(&mut self) -> Result<Look> {
        self.at = updates::newest(&self.engine, &self.actor, self.device).await?;
        let next = if self.at.is_some() {
            Next::AtOnce
        } else {
            Next::Changed
        };
        let events = Vec::new();
        Ok(Look { events, next })
    }

    /// The update has ended and its log is told whole.
    async fn ended(
        &mut self,
        at: UpdateId,
        body: &UpdateBody,
        events: &mut Vec<Event>,
    ) -> Result<Next> {
        if !self.goes_on {
            events.push(event("end", self.id(at), body)?);
            return Ok(Next::Never);
        }
        let newest = updates::newest(&self.engine, &self.actor, self.device).await?;
        let Some(newest) = newest.filter(|newest| *newest > at) else {
            return Ok(Next::Changed);
        };
        events.push(event("end", self.id(at), body)?);
        self.at = Some(newest);
        self.after = 0;
        Ok(Next::AtOnce)
    }

    /// Names the last line that was shown.
    fn id(&self, at: UpdateId) -> String {
        format!("{at}:{}", self.after)
    }
}

/// An update, and a line of its log.
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
    fn events_are_sent_to_whoever_asks_for_them() {
        for (accept, wanted) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            assert_eq!(wants_events(&headers("accept", accept)), wanted, "{accept}");
        }
        assert!(!wants_events(&HeaderMap::new()));
    }

    #[test]
    fn a_stream_goes_on_after_a_line_of_an_update() {
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
