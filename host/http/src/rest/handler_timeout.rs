//! The time limit of handlers. It begins when the request was received: a slow client does not use up the handler's time.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::{observed_body::ObservedBody, problem::Problem};

/// The status of a request whose handler does not respond in time.
pub(super) const TIMEOUT_STATUS: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Ends a request to which the handler does not respond within the limit after the last part of the body arrived.
pub(super) async fn limit_handler_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let arrived = Arc::new(Arrival {
        started,
        last_ms: AtomicU64::new(0),
    });
    let request = request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        let arrived = Arc::clone(&arrived);
        Body::new(ObservedBody::new(body, move |_, polled| {
            if polled.is_ready() {
                arrived.record();
            }
        }))
    });
    let mut responding = pin!(next.run(request));
    let mut deadline = started + limit;
    loop {
        if let Ok(response) = timeout_at(deadline, &mut responding).await {
            return response;
        }
        let later = arrived.last() + limit;
        if later <= deadline {
            let detail = format!("no response within {} s", limit.as_secs());
            return Problem::new(TIMEOUT_STATUS, "too_slow", detail).into_response();
        }
        deadline = later;
    }
}

/// When the last part of a body arrived.
struct Arrival {
    started: Instant,
    /// Milliseconds after the start.
    last_ms: AtomicU64,
}

impl Arrival {
    fn record(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}
