//! `Idempotency-Key`: a `POST` request that is repeated with the same key is executed once and gets the same response.
//! A layer around all operations implements it; the handlers are unaware of it.
//!
//! The handler runs in its own task: it finishes, and its response is stored, even if the client disconnects or the
//! request times out.

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
    Ctx,
    idempotency::{self, Reservation, RunningRequest},
};

use self::{body::RequestBody, key::IdempotencyKey};
use super::access;
use crate::{
    AppState,
    own_task::respond_in_own_task,
    problem::{Problem, Result},
};

pub(super) use document::describe;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on a response that is replayed.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Executes a request with a key at most once. Requests without a key pass through.
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
    let ctx = access::pre_authenticate(&mut parts, &state).await?;
    let key = IdempotencyKey::from_headers(&parts.headers)?;
    let request_body = RequestBody::read(&parts.headers, body, &state).await?;
    let keyed = KeyedRequest {
        ctx,
        state,
        key,
        parts,
        request_body,
    };
    let responding = async { keyed.respond(next).await.into_response() };
    Ok(respond_in_own_task("run a request with an idempotency key", responding).await)
}

struct KeyedRequest {
    ctx: Ctx,
    state: AppState,
    key: IdempotencyKey,
    parts: Parts,
    request_body: RequestBody,
}

impl KeyedRequest {
    async fn respond(self, next: Next) -> Result<Response> {
        let fingerprint = fingerprint::fingerprint(&self.parts, &self.request_body);
        let engine = &self.state.engine;
        match idempotency::reserve(
            &self.ctx,
            engine.idempotency_keys(),
            &self.key.0,
            fingerprint,
        )
        .await?
        {
            Reservation::New(running) => {
                let request = Request::from_parts(self.parts, self.request_body.into_body());
                let response = tokio::select! {
                    response = next.run(request) => response,
                    never = running.renew_lease() => match never {},
                };
                record_outcome(running, response).await
            }
            Reservation::Replayed(stored) => {
                self.request_body.drain(&self.state).await;
                let mut response = stored_response::decode(&stored)?;
                let yes = HeaderValue::from_static("true");
                response.headers_mut().insert(REPLAYED, yes);
                Ok(response)
            }
        }
    }
}

/// Stores the response of a request that was executed, and releases the key of one that was refused.
async fn record_outcome(running: RunningRequest, response: Response) -> Result<Response> {
    match HandlerOutcome::from_status(response.status()) {
        HandlerOutcome::Done => {
            let (stored, response) = stored_response::encode(response).await?;
            running.complete(stored).await;
            return Ok(response);
        }
        HandlerOutcome::Refused => running.release().await,
        HandlerOutcome::Unknown => running.mark_interrupted().await,
    }
    Ok(response)
}

/// What the status of a response says about the request.
#[derive(Debug, PartialEq, Eq)]
enum HandlerOutcome {
    Done,
    /// Nothing was done; the key may be used again.
    Refused,
    /// The server failed; it is unknown whether the request took effect.
    Unknown,
}

impl HandlerOutcome {
    fn from_status(status: StatusCode) -> Self {
        if status.is_success() {
            return Self::Done;
        }
        // 503 asks the client to retry, so the key must stay usable.
        if status == StatusCode::SERVICE_UNAVAILABLE || !status.is_server_error() {
            return Self::Refused;
        }
        Self::Unknown
    }
}

impl IdempotencyKey {
    /// The key of a request. 400 if it is malformed or sent twice.
    fn from_headers(headers: &http::HeaderMap) -> Result<Self> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let read = match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            (_, Some(_)) => Err("must be sent only once"),
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
