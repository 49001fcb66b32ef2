//! `Idempotency-Key`: a request that makes something, and that is sent again with the same key, is done once and answered
//! the same. It is a layer around all operations; none of them knows of it.
//!
//! What is done is done in a task of its own: it comes to its end, and its answer is kept, also when the client is gone or
//! the time for an answer is over.

mod body;
mod document;
mod fingerprint;
mod kept;
mod key;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use tidegate_engine::{
    Error,
    idempotency::{self, Begun, Running},
    tenants::Actor,
};
use tracing::Instrument as _;

use self::{body::Sent, key::Key};
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
pub(super) async fn once(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    with_key(state, request, next).await.into_response()
}

async fn with_key(state: AppState, request: Request, next: Next) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    let actor = access::admit(&mut parts, &state).await?;
    let key = Key::of(&parts.headers)?;
    let sent = Sent::read(&parts.headers, body, &state).await?;
    let one = One {
        state,
        actor,
        key,
        parts,
        sent,
    };
    let answer = tokio::spawn(one.answer(next).in_current_span()).await;
    answer.unwrap_or_else(|stopped| match stopped.try_into_panic() {
        Ok(panic) => Ok(problem::of_panic(panic)),
        Err(stopped) => Err(Error::internal("do a request with a key", stopped).into()),
    })
}

/// A request with a key.
struct One {
    state: AppState,
    actor: Actor,
    key: Key,
    parts: Parts,
    sent: Sent,
}

impl One {
    async fn answer(self, next: Next) -> Result<Response> {
        let fingerprint = fingerprint::of(&self.parts, &self.sent);
        let engine = &self.state.engine;
        match idempotency::begin(engine, &self.actor, &self.key.0, fingerprint).await? {
            Begun::New(running) => {
                let request = Request::from_parts(self.parts, self.sent.into_body());
                let answer = tokio::select! {
                    answer = next.run(request) => answer,
                    never = running.keep_alive() => match never {},
                };
                settle(running, answer).await
            }
            Begun::Repeated(kept) => {
                self.sent.drain(&self.state).await;
                let mut answer = kept::read(&kept)?;
                let yes = HeaderValue::from_static("true");
                answer.headers_mut().insert(REPLAYED, yes);
                Ok(answer)
            }
        }
    }
}

/// Keeps what was done, and gives back what was refused.
async fn settle(running: Running, answer: Response) -> Result<Response> {
    match Outcome::of(answer.status()) {
        Outcome::Done => {
            let (kept, answer) = kept::write(answer).await?;
            running.answered(kept).await;
            return Ok(answer);
        }
        Outcome::Refused => running.refused().await,
        Outcome::Unknown => running.failed().await,
    }
    Ok(answer)
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It may come again.
    Refused,
    /// The server failed, and does not know how far it came.
    Unknown,
}

impl Outcome {
    fn of(status: StatusCode) -> Self {
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

impl Key {
    /// The key that a request was sent with.
    fn of(headers: &http::HeaderMap) -> Result<Self> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let read = match (values.next(), values.next()) {
            (Some(value), None) => Self::read(value.as_bytes()),
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
    fn only_what_was_not_done_may_come_again() {
        for (status, expected) in [
            (200, Outcome::Done),
            (201, Outcome::Done),
            (400, Outcome::Refused),
            (409, Outcome::Refused),
            (422, Outcome::Refused),
            (503, Outcome::Refused),
            (500, Outcome::Unknown),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Outcome::of(status), expected, "{status}");
        }
    }
}
