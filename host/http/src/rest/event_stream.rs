use std::{convert::Infallible, future::Future, time::Duration, vec};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _, stream};
use http::HeaderValue;
use serde::Serialize;
use tidegate_engine::{Ctx, chain, tenants::ActorCredential};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    AppState,
    limits::{StreamHolder, StreamPermit},
    problem::{Problem, Result},
};

/// Minimum time between two polls: a busy source changes hundreds of times a second.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Interval of keep-alive comments.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Maximum lifetime of a stream. Then the client must reconnect and authenticate again.
const MAX_STREAM_LIFETIME: Duration = Duration::from_hours(1);

/// A source of Server-Sent Events. It is polled for new events.
pub(crate) trait EventSource: Send + 'static {
    /// Identifies the source in change signals.
    type Topic: Copy + PartialEq + Send + Sync + 'static;

    /// Maximum time between two polls: changes on another server send no signal here.
    const MAX_POLL_INTERVAL: Duration;

    fn topic(&self) -> Self::Topic;

    fn poll(&mut self) -> impl Future<Output = Result<EventBatch>> + Send;
}

/// The result of a poll.
pub(crate) struct EventBatch {
    pub(crate) events: Vec<Event>,
    pub(crate) next: NextPoll,
}

/// When to poll again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextPoll {
    /// More events are available; they are read once the client has received this batch.
    Immediately,
    OnChange,
    /// The stream ends after this batch.
    End,
}

/// Responds with a stream of events, which ends when its credential does. Events are read only as fast as the client
/// receives them.
///
/// The caller must subscribe to `signals` before it reads any state, so that no change in between is missed.
pub(crate) fn event_stream<S: EventSource>(
    state: &AppState,
    ctx: &Ctx,
    credential: ActorCredential,
    signals: Receiver<S::Topic>,
    source: S,
) -> Result<Response> {
    let holder = match credential.key {
        Some(sha256) => StreamHolder::Key(sha256),
        None => StreamHolder::User(ctx.actor.name.clone()),
    };
    let events = EventStream {
        _permit: state.limits.acquire_event_stream(ctx.tenant, holder)?,
        source,
        signals,
        pending: Vec::new().into_iter(),
        next: NextPoll::Immediately,
        polled_at: Instant::now(),
    }
    .into_events();
    let ends_at = Instant::now() + MAX_STREAM_LIFETIME;
    let shutdown = state.shutdown.clone();
    let credential = state.stream_credentials.register(&state.engine, credential);
    let ended = async move {
        tokio::select! {
            () = shutdown.cancelled_owned() => {}
            () = sleep_until(ends_at) => {}
            () = credential.cancelled() => {}
        }
    };
    let events = events.take_until(ended);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Stops proxies from buffering the stream.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// An event with `body` as its JSON data.
pub(crate) fn json_event(kind: &str, id: impl AsRef<str>, body: &impl Serialize) -> Result<Event> {
    let json = serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = %chain(&error), "cannot serialize event");
        Problem::internal()
    })?;
    Ok(Event::default().event(kind).id(id).data(json))
}

struct EventStream<S: EventSource> {
    source: S,
    signals: Receiver<S::Topic>,
    pending: vec::IntoIter<Event>,
    next: NextPoll,
    polled_at: Instant,
    _permit: StreamPermit,
}

impl<S: EventSource> EventStream<S> {
    fn into_events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut stream| async move {
            let event = stream.next_event().await?;
            Some((Ok(event), stream))
        })
    }

    /// The next event; none at the end and after an error, when the client reconnects.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.next() {
                return Some(event);
            }
            match self.next {
                NextPoll::Immediately => {}
                NextPoll::OnChange => self.wait_for_change().await,
                NextPoll::End => return None,
            }
            self.polled_at = Instant::now();
            match self.source.poll().await {
                Ok(batch) => {
                    self.pending = batch.events.into_iter();
                    self.next = batch.next;
                }
                Err(problem) => {
                    tracing::debug!(detail = problem.detail(), "event stream ended");
                    return None;
                }
            }
        }
    }

    /// Waits for a signal or for `MAX_POLL_INTERVAL`, and at least `MIN_POLL_INTERVAL` since the last poll.
    async fn wait_for_change(&mut self) {
        let topic = self.source.topic();
        let signal = async {
            loop {
                match self.signals.recv().await {
                    Ok(changed) if changed != topic => {}
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // A timeout means that a poll is due.
        let _ = timeout(S::MAX_POLL_INTERVAL, signal).await;
        sleep_until(self.polled_at + MIN_POLL_INTERVAL).await;
    }
}
