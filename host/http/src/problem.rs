//! `application/problem+json` (RFC 9457), made in one place.

use std::{any::Any, borrow::Cow};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::Error;
use utoipa::ToSchema;

/// Why a request was refused. Nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem: `urn:tidegate:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, for people.
    detail: String,
    /// Stable, for machines.
    code: String,
    /// Each rule that the request breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<BrokenRule>,
}

/// One rule that the request breaks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BrokenRule {
    /// JSON pointer into the body, or the name of a parameter; empty for the whole.
    field: String,
    /// What is wrong, and what would be right.
    message: String,
}

impl From<FieldError> for BrokenRule {
    fn from(error: FieldError) -> Self {
        Self {
            field: error.path,
            message: error.message,
        }
    }
}

/// What handlers answer.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A refusal with a stable code.
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// One field breaks a rule.
    pub(crate) fn field(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Error::invalid(code, field, message).into()
    }

    /// Names the rules that are broken.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// There is nothing under this path.
    pub(crate) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "there is nothing under this path; see /api/v1/openapi.json",
        )
    }

    /// There is something under this path, but not for this method.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take this method; the Allow header names those that it takes",
        )
    }

    /// Slower, please.
    pub(crate) fn rate_limited() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_often",
            "more requests came than are allowed in a second; try again later",
        )
    }

    /// Who are you?
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send `Authorization: Bearer <token>` or `X-API-Key: <key>`",
        )
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            Error::Conflict { code, .. } => Self::new(StatusCode::CONFLICT, code, detail),
            Error::Invalid { code, errors, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_errors(errors)
            }
            Error::Forbidden { code, .. } => Self::new(StatusCode::FORBIDDEN, code, detail),
            Error::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            Error::TooMany { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail),
            Error::Unavailable { .. } => {
                tracing::warn!("answered 503: {detail}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            Error::Internal { context, source } => {
                tracing::error!(
                    error = &*source as &dyn std::error::Error,
                    "answered 500: {context}"
                );
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// Our own mistake; the log has what happened.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::CONFLICT if self.code == "request_in_progress" => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        let body = ProblemBody {
            kind: format!("urn:tidegate:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code.into_owned(),
            errors: self.errors.into_iter().map(BrokenRule::from).collect(),
        };
        // Strings and numbers always serialise; an empty body would still carry the status.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        (self.status, headers, body).into_response()
    }
}

/// A panic in a handler is a bug; the connection and the server go on.
#[expect(clippy::needless_pass_by_value, reason = "what the layer hands over")]
pub(crate) fn from_panic(panic: Box<dyn Any + Send>) -> Response {
    log_panic(&*panic);
    Problem::internal().into_response()
}

/// Whoever asked is not told what it was.
pub(crate) fn log_panic(panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!("a handler panicked: {message}");
}
