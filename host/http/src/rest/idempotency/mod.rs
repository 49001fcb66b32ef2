//! `Idempotency-Key`: a request that makes something, and that is sent again with the same key, is done once and answered
//! the same. It is a layer around all operations; none of them knows of it.
//!
//! What is done is done in a task of its own: it comes to its end, and its answer is kept, also when the client is gone or
//! the time for an answer is over.

mod body;
mod document;
mod fingerprint;
mod key;
mod stored_response;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use tidegate_engine::{
    Error,
    idempotency::{self, Reservation, RunningRequest},
    tenants::Actor,
};
use tracing::Instrument as _;

use self::{body::RequestBody, key::IdempotencyKey};
use super::access;
use crate::{
    AppState,
    problem::{self, Problem, Result},
};

pub(super) use document::describe;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Stands at an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Does a request with a key once. All others go through.
pub(super) async fn idempotency_layer(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    handle_keyed(state, request, next).await.into_response()
}

async fn handle_keyed(state: AppState, request: Request, next: Next) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    let actor = access::pre_authenticate(&mut parts, &state).await?;
    let key = IdempotencyKey::from_headers(&parts.headers)?;
    let request_body = RequestBody::read(&parts.headers, body, &state).await?;
    let keyed = KeyedRequest {
        state,
        actor,
        key,
        parts,
        request_body,
    };
    let answer = tokio::spawn(keyed.respond(next).in_current_span()).await;
    answer.unwrap_or_else(|stopped| match stopped.try_into_panic() {
        Ok(panic) => Ok(problem::from_panic(panic)),
        Err(stopped) => Err(Error::internal("do a request with a key", stopped).into()),
    })
}

/// A request with a key.
struct KeyedRequest {
    state: AppState,
    actor: Actor,
    key: IdempotencyKey,
    parts: Parts,
    request_body: RequestBody,
}

impl KeyedRequest {
    async fn respond(self, next: Next) -> Result<Response> {
        let fingerprint = fingerprint::fingerprint(&self.parts, &self.request_body);
        let engine = &self.state.engine;
        match idempotency::reserve(engine, &self.actor, &self.key.0, fingerprint).await? {
            Reservation::New(running) => {
                let request = Request::from_parts(self.parts, self.request_body.into_body());
                let answer = tokio::select! {
                    answer = next.run(request) => answer,
                    never = running.renew_lease() => match never {},
                };
                record_outcome(running, answer).await
            }
            Reservation::Replayed(stored) => {
                self.request_body.drain(&self.state).await;
                let mut answer = stored_response::decode(&stored)?;
                let yes = HeaderValue::from_static("true");
                answer.headers_mut().insert(REPLAYED, yes);
                Ok(answer)
            }
        }
    }
}

/// Keeps what was done, and gives back what was refused.
async fn record_outcome(running: RunningRequest, answer: Response) -> Result<Response> {
    match HandlerOutcome::from_status(answer.status()) {
        HandlerOutcome::Done => {
            let (stored, answer) = stored_response::encode(answer).await?;
            running.complete(stored).await;
            return Ok(answer);
        }
        HandlerOutcome::Refused => running.release().await,
        HandlerOutcome::Unknown => running.mark_interrupted().await,
    }
    Ok(answer)
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum HandlerOutcome {
    Done,
    /// It may come again.
    Refused,
    /// The server failed, and does not know how far it came.
    Unknown,
}

impl HandlerOutcome {
    fn from_status(status: StatusCode) -> Self {
        if status.is_success() {
            return Self::Done;
        }
        // Whoever is told that the server cannot do it now is to ask again.
        if status == StatusCode::SERVICE_UNAVAILABLE || !status.is_server_error() {
            return Self::Refused;
        }
        Self::Unknown
    }
}

impl IdempotencyKey {
    /// The key that a request was sent with.
    fn from_headers(headers: &http::HeaderMap) -> Result<Self> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let read = match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            (_, Some(_)) => Err("came twice"),
            (None, None) => Err("is missing"),
        };
        read.map_err(|message| {
            let detail = format!("Idempotency-Key {message}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_requests_release_the_key() {
        for (status, expected) in [
            (200, HandlerOutcome::Done),
            (201, HandlerOutcome::Done),
            (400, HandlerOutcome::Refused),
            (409, HandlerOutcome::Refused),
            (422, HandlerOutcome::Refused),
            (503, HandlerOutcome::Refused),
            (500, HandlerOutcome::Unknown),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(HandlerOutcome::from_status(status), expected, "{status}");
        }
    }
}
