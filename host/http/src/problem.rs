//! `application/problem+json` (RFC 9457).

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Error, Remedy, chain};
use utoipa::ToSchema;

use crate::{
    field_names::{to_request_field, to_request_fields},
    request_id,
};

/// Why a request was refused. The request changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
    /// When to retry, if not in a second.
    retry_after: Option<Duration>,
}

/// The body of every error response.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The problem type: `urn:tidegate:problem:` followed by the code.
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status phrase.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, in human-readable form.
    detail: String,
    /// The stable, machine-readable code.
    code: String,
    /// Each rule that the request breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<BrokenRule>,
    /// The request's `X-Request-Id`, which the server's log lines about the request have too.
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
}

/// One rule that the request breaks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BrokenRule {
    /// JSON pointer into the body, or the name of a parameter; empty for the whole body.
    field: String,
    /// What is wrong, and what is expected.
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

/// The result of a REST handler.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem with a stable code.
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
            retry_after: None,
        }
    }

    /// A problem with one invalid field.
    pub(crate) fn field(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        let error = FieldError {
            path: field.into(),
            message: message.clone(),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message).with_errors(vec![error])
    }

    /// 422 that names invalid fields.
    pub(crate) fn invalid(code: impl Into<Cow<'static, str>>, errors: Vec<FieldError>) -> Self {
        let detail = match &errors[..] {
            [one] if one.path.is_empty() => one.message.clone(),
            [one] => format!("{}: {}", one.path, one.message),
            many => format!("{} invalid fields", many.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_errors(errors)
    }

    /// The paths of the fields that it names.
    #[cfg(test)]
    pub(crate) fn field_paths(&self) -> Vec<&str> {
        self.errors.iter().map(|error| &*error.path).collect()
    }

    /// Renames the fields of the broken rules.
    pub(crate) fn map_fields(self, rename: impl Fn(String) -> String) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let errors = self.errors.into_iter().map(|error| FieldError {
            path: rename(error.path),
            message: error.message,
        });
        Self::invalid(self.code, errors.collect())
    }

    /// What is wrong with the request.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The errors of this and another problem of the same request, with the code of this one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.errors.extend(other.errors);
        Self::invalid(self.code, self.errors)
    }

    /// The fields that it names.
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// Replaces the list of broken rules.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// Asks the client to retry after this time.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "this path does not exist; see /api/v1/openapi.json",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not support this method; see the Allow header",
        )
    }

    pub(crate) fn rate_limited() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_often",
            "the limit of requests a second is exceeded; retry later",
        )
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send `Authorization: Bearer <token>` or `X-API-Key: <key>`",
        )
    }
}

/// A remedy by the names of the request, to be appended to the error.
fn in_words(remedy: Remedy) -> String {
    let name = |field: &str| {
        let pointer = to_request_field(field);
        let name = pointer.trim_start_matches('/');
        // The fields of a firmware are in a part of the upload.
        if field.starts_with("details.") {
            format!("`{name}` in `metadata`")
        } else {
            format!("`{name}`")
        }
    };
    match remedy {
        Remedy::SetField(field) => format!(": set {}", name(field)),
        Remedy::StartUpdate(field) => format!(": start an update with a {}", name(field)),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            Error::Conflict { code, remedy, .. } => {
                let remedy = remedy.map_or_else(String::new, in_words);
                Self::new(StatusCode::CONFLICT, code, detail + &remedy)
            }
            Error::Invalid { code, errors, .. } if errors.is_empty() => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
            }
            Error::Invalid {
                code,
                errors,
                remedy,
                ..
            } => {
                let mut errors = to_request_fields(errors);
                if let Some(remedy) = remedy.map(in_words) {
                    for error in &mut errors {
                        error.message.push_str(&remedy);
                    }
                }
                Self::invalid(code, errors)
            }
            Error::Forbidden { code, .. } => Self::new(StatusCode::FORBIDDEN, code, detail),
            Error::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            Error::TooMany {
                code, retry_after, ..
            } => {
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
                Self {
                    retry_after,
                    ..problem
                }
            }
            Error::Unavailable { .. } => {
                tracing::warn!(error = %chain(&error), "service unavailable");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            Error::NoSpace { .. } => {
                tracing::error!(error = %chain(&error), "no space left");
                let detail = "the server has no space left to store this; free some, then retry";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", detail)
            }
            Error::Internal { context, source } => {
                tracing::error!(error = %chain(&*source), context, "internal error");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// A failure of the server. The cause is logged, not returned.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; the server's log has the cause",
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
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let wait = self.retry_after.map_or(1, whole_seconds);
                headers.insert(RETRY_AFTER, wait.into());
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
            request_id: String::new(),
        };
        let mut response = (self.status, headers, body.to_json()).into_response();
        response.extensions_mut().insert(body);
        response
    }
}

/// At least a second, because 0 would be no wait.
fn whole_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.max(1)
}

impl ProblemBody {
    fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize; an empty body would still have the status.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Adds the request's id to the problem of a response, if it has one.
pub(crate) fn add_request_id(response: &mut Response, id: &HeaderValue) {
    let Some(mut body) = response.extensions_mut().remove::<ProblemBody>() else {
        return;
    };
    request_id::as_str(id).clone_into(&mut body.request_id);
    *response.body_mut() = Body::from(body.to_json());
    // The length of the body without the id.
    response.headers_mut().remove(CONTENT_LENGTH);
}

#[cfg(test)]
mod tests {
    use tidegate_engine::ports::{CallFailure, StoreError};

    use super::*;

    #[test]
    fn words_of_the_database_are_logged_and_not_returned() {
        const WORDS: &str =
            "read devices: error communicating with db.internal: SELECT id FROM devices";
        let words = || WORDS.to_owned();
        for (error, status, detail) in [
            (
                StoreError::Unavailable(words()).into(),
                503,
                "the database is not available now; retry later",
            ),
            (
                StoreError::Locked(words()).into(),
                503,
                "another request is changing the same data; retry later",
            ),
            (
                CallFailure::Host(words()).into(),
                503,
                "the server could not run the plugin; retry later",
            ),
            (
                StoreError::NoSpace(words()).into(),
                507,
                "the server has no space left to store this; free some, then retry",
            ),
            (
                Error::internal("read devices", words()),
                500,
                "internal error; the server's log has the cause",
            ),
        ] {
            let logged = chain(&error).to_string();
            assert!(logged.contains(WORDS), "{logged}");
            let problem = Problem::from(error);
            assert_eq!(
                (problem.status.as_u16(), problem.detail()),
                (status, detail)
            );
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let status = StatusCode::TOO_MANY_REQUESTS;
        for (wait, header) in [
            (None, "1"),
            (Some(Duration::ZERO), "1"),
            (Some(Duration::from_millis(5_001)), "6"),
            (Some(Duration::from_mins(1)), "60"),
        ] {
            let mut problem = Problem::new(status, "too_many", "");
            if let Some(wait) = wait {
                problem = problem.retry_after(wait);
            }
            let response = problem.into_response();
            assert_eq!(response.headers()[RETRY_AFTER], header, "{wait:?}");
        }
    }

    #[test]
    fn a_remedy_is_named_as_in_the_request() {
        for (remedy, detail) in [
            (None, "unknown"),
            (
                Some(Remedy::SetField("target_version")),
                "unknown: set `target_version`",
            ),
            (
                Some(Remedy::StartUpdate("firmware")),
                "unknown: start an update with a `firmware_id`",
            ),
        ] {
            let error = Error::Conflict {
                code: "nothing_to_go_back_to",
                message: "unknown".to_owned(),
                remedy,
            };
            assert_eq!(Problem::from(error).detail(), detail);
        }
        let error = Error::Invalid {
            code: "invalid_firmware",
            message: String::new(),
            errors: vec![FieldError {
                path: "details.version".to_owned(),
                message: "is not SemVer".to_owned(),
            }],
            remedy: Some(Remedy::SetField("details.version")),
        };
        let detail = "/version: is not SemVer: set `version` in `metadata`";
        assert_eq!(Problem::from(error).detail(), detail);
    }
}
