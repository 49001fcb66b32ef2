use std::any::Any;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
};
use serde::Serialize;
use tidegate_core::update::Refusal as UpdateRefusal;
use tidegate_engine::{Error, ports::RecordError};

use crate::problem::log_panic;

/// Why a device is not given what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthenticated,
    NotFound,
    /// The update came to its end.
    Gone,
    /// Nobody calls the update back.
    NotCancelling,
    /// All updates are agreed to already.
    AutoConfirmActive,
    NotAcceptable,
    UnsupportedMediaType,
    TooLarge,
    /// The body took too long.
    TimedOut,
    /// The body, or a parameter, cannot be read.
    Malformed(String),
    /// What was read breaks a rule.
    Broken(String),
    BrokenAttributes(String),
    TooMany(String),
    /// Not now. Devices take 503 for "you may not": they are told that it is too much.
    Busy,
    /// Our own mistake, which is logged.
    Internal,
}

impl Refusal {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::NotCancelling => StatusCode::METHOD_NOT_ALLOWED,
            Self::AutoConfirmActive => StatusCode::CONFLICT,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed(_) | Self::Broken(_) | Self::BrokenAttributes(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooMany(_) | Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The body that clients of hawkBit know; most refusals have none.
    fn body(self) -> Option<ErrorBody> {
        let (exception_class, error_code, message) = match self {
            Self::Malformed(message) => (
                "org.eclipse.hawkbit.rest.exception.MessageNotReadableException",
                "hawkbit.server.error.rest.body.notReadable",
                message,
            ),
            Self::Broken(message) => (
                "jakarta.validation.ConstraintViolationException",
                "hawkbit.server.error.repo.constraintViolation",
                message,
            ),
            Self::BrokenAttributes(message) => (
                "org.eclipse.hawkbit.repository.exception.InvalidTargetAttributeException",
                "hawkbit.server.error.repo.invalidTargetAttributes",
                message,
            ),
            Self::TooMany(message) => (
                "org.eclipse.hawkbit.repository.exception.AssignmentQuotaExceededException",
                "hawkbit.server.error.quota.tooManyEntries",
                message,
            ),
            Self::NotCancelling => (
                "org.eclipse.hawkbit.repository.exception.CancelActionNotAllowedException",
                "hawkbit.server.error.action.notCancelable",
                "the update is not being cancelled".to_owned(),
            ),
            Self::AutoConfirmActive => (
                "org.eclipse.hawkbit.repository.exception.AutoConfirmationAlreadyActiveException",
                "hawkbit.server.error.repo.autoConfAlreadyActive",
                "auto-confirm is active already".to_owned(),
            ),
            _ => return None,
        };
        Some(ErrorBody {
            exception_class,
            error_code,
            message,
            info: None,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    exception_class: &'static str,
    error_code: &'static str,
    message: String,
    /// Always null: nothing more is known.
    info: Option<()>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match self.body() {
            Some(body) => (status, Json(body)).into_response(),
            None => status.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Devices know no problem+json: a panic is a mistake of ours as any other.
#[expect(clippy::needless_pass_by_value, reason = "what the layer hands over")]
pub(super) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    log_panic(&*panic);
    Refusal::Internal.into_response()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::NotFound,
            Error::Invalid {
                code: "invalid_attributes",
                message,
                ..
            } => Self::BrokenAttributes(message),
            Error::Invalid { message, .. } => Self::Broken(message),
            Error::TooMany { message } => Self::TooMany(message),
            Error::TooLarge { .. } => Self::TooLarge,
            Error::Forbidden { .. } => Self::Unauthenticated,
            Error::Conflict { .. } => Self::Gone,
            Error::Unavailable { message } => {
                tracing::warn!("a device is told to come back later: {message}");
                Self::Busy
            }
            Error::Internal { context, source } => {
                let error = &*source as &dyn std::error::Error;
                tracing::error!(error, "answered 500 to a device: {context}");
                Self::Internal
            }
        }
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Refused(UpdateRefusal::Closed) => Self::Gone,
            RecordError::Refused(UpdateRefusal::NotCancelling) => Self::NotCancelling,
            // As hawkBit says it: there is no such update to report on, or to confirm.
            RecordError::Refused(UpdateRefusal::Unconfirmed | UpdateRefusal::NotWaiting) => {
                Self::NotFound
            }
            RecordError::AlreadyActive => Self::AutoConfirmActive,
            other => Error::from(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn refusals_have_the_bodies_that_devices_know() {
        for (refusal, status, body) in [
            (Refusal::Unauthenticated, 401, ""),
            (Refusal::NotFound, 404, ""),
            (
                Refusal::from(RecordError::Refused(UpdateRefusal::Closed)),
                410,
                "",
            ),
            (Refusal::from(RecordError::NotFound), 404, ""),
            (
                Refusal::from(RecordError::Refused(UpdateRefusal::Unconfirmed)),
                404,
                "",
            ),
            (
                Refusal::from(RecordError::Refused(UpdateRefusal::NotWaiting)),
                404,
                "",
            ),
            (
                Refusal::from(RecordError::AlreadyActive),
                409,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.AutoConfirmationAlreadyActiveException","errorCode":"hawkbit.server.error.repo.autoConfAlreadyActive","message":"auto-confirm is active already","info":null}"#,
            ),
            (Refusal::Busy, 429, ""),
            (
                Refusal::from(RecordError::TooMany(1000)),
                429,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.AssignmentQuotaExceededException","errorCode":"hawkbit.server.error.quota.tooManyEntries","message":"more than 1000 are not kept","info":null}"#,
            ),
            (
                Refusal::from(RecordError::Refused(UpdateRefusal::NotCancelling)),
                405,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.CancelActionNotAllowedException","errorCode":"hawkbit.server.error.action.notCancelable","message":"the update is not being cancelled","info":null}"#,
            ),
        ] {
            let response = refusal.into_response();
            assert_eq!(response.status(), status);
            let bytes = response
                .into_body()
                .collect()
                .await
                .expect("reads")
                .to_bytes();
            assert_eq!(bytes, body);
        }
    }
}
