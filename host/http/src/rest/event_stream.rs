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
    limits::StreamPlace,
    problem::{Problem, Result},
};

/// Shortest time between two looks: something busy changes hundreds of times a second.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest silence on the line.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest life of a stream: then the client shows its credentials again.
const LIFE: Duration = Duration::from_hours(1);

/// What is followed as Server-Sent Events. It is looked at again and again, and tells what is new.
pub(crate) trait Followed: Send + 'static {
    /// What signals name when it changed.
    type Name: Copy + PartialEq + Send + Sync + 'static;

    /// Longest time between two looks: another host may have changed it.
    const FALLBACK: Duration;

    fn name(&self) -> Self::Name;

    fn look(&mut self) -> impl Future<Output = Result<Look>> + Send;
}

/// What a look brought.
pub(crate) struct Look {
    pub(crate) events: Vec<Event>,
    pub(crate) next: Next,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more, which waits until the client has taken this part.
    AtOnce,
    Changed,
    /// All is told.
    Never,
}

/// Answers with what there is to tell. What the client does not take is not read: nobody waits for it.
///
/// `signals` must have been listened to before whatever the caller has read, so that nothing falls in between.
pub(crate) fn event_stream<F: Followed>(
    state: &AppState,
    tenant: TenantId,
    signals: Receiver<F::Name>,
    followed: F,
) -> Result<Response> {
    let events = Follower {
        _place: state.limits.event_stream(tenant)?,
        followed,
        signals,
        waiting: Vec::new().into_iter(),
        next: Next::AtOnce,
        looked_at: Instant::now(),
    }
    .events();
    let ends_at = Instant::now() + LIFE;
    let stopping = state.stopping.clone();
    let ended = async move {
        tokio::select! {
            () = stopping.cancelled_owned() => {}
            () = sleep_until(ends_at) => {}
        }
    };
    let events = events.take_until(ended);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // A proxy that gathers an answer before it passes it on would show nothing.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// An event with something as JSON.
pub(crate) fn event(kind: &str, id: impl AsRef<str>, body: &impl Serialize) -> Result<Event> {
    let json = serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "write event");
        Problem::internal()
    })?;
    Ok(Event::default().event(kind).id(id).data(json))
}

struct Follower<F: Followed> {
    followed: F,
    signals: Receiver<F::Name>,
    waiting: vec::IntoIter<Event>,
    next: Next,
    looked_at: Instant,
    _place: StreamPlace,
}

impl<F: Followed> Follower<F> {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.event().await?;
            Some((Ok(event), follower))
        })
    }

    /// The next event; none at the end, and when nothing can be read: the client asks again.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Some(event);
            }
            match self.next {
                Next::AtOnce => {}
                Next::Changed => self.changed().await,
                Next::Never => return None,
            }
            self.looked_at = Instant::now();
            match self.followed.look().await {
                Ok(look) => {
                    self.waiting = look.events.into_iter();
                    self.next = look.next;
                }
                Err(problem) => {
                    tracing::debug!(?problem, "event stream ended");
                    return None;
                }
            }
        }
    }

    /// Returns when there may be something new.
    async fn changed(&mut self) {
        let name = self.followed.name();
        let signalled = async {
            loop {
                match self.signals.recv().await {
                    Ok(changed) if changed != name => {}
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        // Being late is a reason to look, not a failure.
        let _ = timeout(F::FALLBACK, signalled).await;
        sleep_until(self.looked_at + PAUSE).await;
    }
}
