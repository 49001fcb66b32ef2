use std::{convert::Infallible, future::Future, time::Duration, vec};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _, stream};
use http::HeaderValue;
use serde::Serialize;
use tidegate_core::id::TenantId;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    AppState,
    limits::StreamPermit,
    problem::{Problem, Result},
};

/// Shortest time between two looks: something busy changes hundreds of times a second.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Longest silence on the line.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Longest life of a stream: then the client shows its credentials again.
const MAX_STREAM_LIFETIME: Duration = Duration::from_hours(1);

/// What is followed as Server-Sent Events. It is looked at again and again, and tells what is new.
pub(crate) trait EventSource: Send + 'static {
    /// What signals name when it changed.
    type Topic: Copy + PartialEq + Send + Sync + 'static;

    /// Longest time between two looks: another host may have changed it.
    const MAX_POLL_INTERVAL: Duration;

    fn topic(&self) -> Self::Topic;

    fn poll(&mut self) -> impl Future<Output = Result<EventBatch>> + Send;
}

/// What a look brought.
pub(crate) struct EventBatch {
    pub(crate) events: Vec<Event>,
    pub(crate) next: NextPoll,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextPoll {
    /// There is more, which waits until the client has taken this part.
    Immediately,
    OnChange,
    /// All is told.
    End,
}

/// Answers with what there is to tell. What the client does not take is not read: nobody waits for it.
///
/// `signals` must have been listened to before whatever the caller has read, so that nothing falls in between.
pub(crate) fn event_stream<F: EventSource>(
    state: &AppState,
    tenant: TenantId,
    signals: Receiver<F::Topic>,
    source: F,
) -> Result<Response> {
    let events = EventStream {
        _permit: state.limits.acquire_event_stream(tenant)?,
        source,
        signals,
        pending: Vec::new().into_iter(),
        next: NextPoll::Immediately,
        polled_at: Instant::now(),
    }
    .into_events();
    let ends_at = Instant::now() + MAX_STREAM_LIFETIME;
    let shutdown = state.shutdown.clone();
    let ended = async move {
        tokio::select! {
            () = shutdown.cancelled_owned() => {}
            () = sleep_until(ends_at) => {}
        }
    };
    let events = events.take_until(ended);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // A proxy that gathers an answer before it passes it on would show nothing.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// An event with something as JSON.
pub(crate) fn json_event(kind: &str, id: impl AsRef<str>, body: &impl Serialize) -> Result<Event> {
    let json = serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "write event");
        Problem::internal()
    })?;
    Ok(Event::default().event(kind).id(id).data(json))
}

struct EventStream<F: EventSource> {
    source: F,
    signals: Receiver<F::Topic>,
    pending: vec::IntoIter<Event>,
    next: NextPoll,
    polled_at: Instant,
    _permit: StreamPermit,
}

impl<F: EventSource> EventStream<F> {
    fn into_events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut stream| async move {
            let event = stream.next_event().await?;
            Some((Ok(event), stream))
        })
    }

    /// The next event; none at the end, and when nothing can be read: the client asks again.
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
                    tracing::debug!(?problem, "event stream ended");
                    return None;
                }
            }
        }
    }

    /// Returns when there may be something new.
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
        // Being late is a reason to look, not a failure.
        let _ = timeout(F::MAX_POLL_INTERVAL, signal).await;
        sleep_until(self.polled_at + MIN_POLL_INTERVAL).await;
    }
}
