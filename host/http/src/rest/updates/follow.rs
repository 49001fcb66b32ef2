use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use http::{HeaderMap, HeaderValue, header::ACCEPT};
use serde::Serialize;
use tidegate_core::id::{DeviceKey, UpdateId};
use tidegate_engine::{tenants::Actor, updates};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until, timeout},
};

use super::log_body::LineBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::devices::UpdateBody,
};

/// Shortest time between two looks: a device may send hundreds of lines in a second.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest time between two looks: the device may speak to another host.
const FALLBACK: Duration = Duration::from_secs(3);
/// Longest silence on the line.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest life of a stream: then the client shows its credentials again.
const LIFE: Duration = Duration::from_hours(1);
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
    state: AppState,
    actor: Actor,
    device: DeviceKey,
    update: Option<UpdateId>,
    headers: &HeaderMap,
) -> Response {
    let last = last_event_id(headers).filter(|(id, _)| update.is_none_or(|update| update == *id));
    let watch = Watch {
        // Listened to before the first look, so that nothing falls in between.
        grew: state.engine.signals.watch_logs(),
        state,
        actor,
        device,
        goes_on: update.is_none(),
        at: last.map(|(id, _)| id).or(update),
        after: last.map_or(0, |(_, line)| line),
        announced: last.map(|(id, _)| id),
        waiting: VecDeque::new(),
        looked_at: None,
        is_over: false,
        ends_at: Instant::now() + LIFE,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(watch.events())
        .keep_alive(keep_alive)
        .into_response();
    // A proxy that gathers an answer before it passes it on would show nothing.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Logs as one client follows them. What the client does not take is not read: nobody waits for it.
struct Watch {
    grew: Receiver<DeviceKey>,
    state: AppState,
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
    waiting: VecDeque<Event>,
    looked_at: Option<Instant>,
    is_over: bool,
    ends_at: Instant,
}

impl Watch {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watch| async move {
            let stopping = watch.state.stopping.clone();
            let ends_at = watch.ends_at;
            let event = tokio::select! {
                event = watch.next() => event?,
                () = stopping.cancelled() => return None,
                () = sleep_until(ends_at) => return None,
            };
            Some((Ok(event), watch))
        })
    }

    /// The next event; none at the end, and when the log cannot be read: the client asks again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if let Some(looked_at) = self.looked_at {
                self.changed().await;
                sleep_until(looked_at + PAUSE).await;
            }
            self.looked_at = Some(Instant::now());
            if let Err(problem) = self.look().await {
                tracing::debug!(?problem, "event stream ended");
                return None;
            }
        }
    }

    /// Returns when there may be something new.
    async fn changed(&mut self) {
        let device = self.device;
        let signalled = async {
            loop {
                match self.grew.recv().await {
                    Ok(grew) if grew != device => {}
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // Being late is a reason to look, not a failure.
        let _ = timeout(FALLBACK, signalled).await;
    }

    async fn look(&mut self) -> Result<()> {
        let engine = &self.state.engine;
        let Some(at) = self.at else {
            self.at = updates::newest(engine, &self.actor, self.device).await?;
            if self.at.is_some() {
                self.looked_at = None;
            }
            return Ok(());
        };
        let log = updates::log(engine, &self.actor, at, Some(self.after), PAGE).await?;
        let is_whole = log.lines.len() < PAGE as usize;
        let is_open = log.update.update.progress.status.is_open();
        let body = UpdateBody::from(log.update);
        if self.announced != Some(at) {
            self.announced = Some(at);
            let id = format!("{at}:{}", self.after);
            self.waiting.push_back(event("update", &id, &body)?);
        }
        for line in log.lines {
            let line = LineBody::from(line);
            self.after = line.number;
            let id = format!("{at}:{}", line.number);
            self.waiting.push_back(event("line", &id, &line)?);
        }
        if !is_whole {
            // A long log waits until the client has taken this part, and then goes on at once.
            self.looked_at = None;
        } else if !is_open {
            self.ended(at, &body).await?;
        }
        Ok(())
    }

    /// The update has ended and its log is told whole.
    async fn ended(&mut self, at: UpdateId, body: &UpdateBody) -> Result<()> {
        let id = format!("{at}:{}", self.after);
        if !self.goes_on {
            self.waiting.push_back(event("end", &id, body)?);
            self.is_over = true;
            return Ok(());
        }
        let newest = updates::newest(&self.state.engine, &self.actor, self.device).await?;
        if let Some(newest) = newest.filter(|newest| *newest > at) {
            self.waiting.push_back(event("end", &id, body)?);
            self.at = Some(newest);
            self.after = 0;
            self.looked_at = None;
        }
        Ok(())
    }
}

fn event(kind: &str, id: &str, body: &impl Serialize) -> Result<Event> {
    let json = serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "write event");
        Problem::internal()
    })?;
    Ok(Event::default().event(kind).id(id).data(json))
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
            HeaderValue::from_static(value),
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
