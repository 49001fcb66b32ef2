use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER},
};
use serde::Serialize;
use tidegate_core::update::EventError;
use tidegate_engine::{Error, chain, ports::RecordError};

/// Why a device's request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DdiError {
    Unauthenticated,
    NotFound,
    /// The update is closed.
    Gone,
    /// The update is not being cancelled.
    NotCancelling,
    /// Auto-confirm is already active.
    AutoConfirmActive,
    NotAcceptable,
    UnsupportedMediaType,
    TooLarge,
    /// The client sent nothing of the body for too long.
    TimedOut,
    /// The body or a parameter cannot be parsed.
    Malformed(String),
    /// A parsed value is invalid.
    ConstraintViolation(String),
    InvalidAttributes(String),
    QuotaExceeded(String),
    /// The device exceeds its rate limit.
    TooManyRequests,
    /// The connection is one of the reserve for operators and probes.
    NoConnection,
    /// The server cannot read its data now, and does not know from memory whose request it is.
    CannotAuthenticate,
    /// The server cannot read or write its data now. Devices take 503 for a refusal, so they get 429 instead.
    Unavailable,
    /// A failure of the server, which is logged.
    Internal,
}

impl DdiError {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }

    /// The refusal of a request whose caller is not authenticated.
    pub(super) fn before_authentication(error: impl Into<Self>) -> Self {
        match error.into() {
            Self::Unavailable => Self::CannotAuthenticate,
            error => error,
        }
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
            Self::Malformed(_) | Self::ConstraintViolation(_) | Self::InvalidAttributes(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::QuotaExceeded(_)
            | Self::TooManyRequests
            | Self::NoConnection
            | Self::CannotAuthenticate
            | Self::Unavailable => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// hawkBit's error body; most errors have none.
    fn body(self) -> Option<ErrorBody> {
        let (exception_class, error_code, message) = match self {
            Self::Malformed(message) => (
                "org.eclipse.hawkbit.rest.exception.MessageNotReadableException",
                "hawkbit.server.error.rest.body.notReadable",
                message,
            ),
            Self::ConstraintViolation(message) => (
                "jakarta.validation.ConstraintViolationException",
                "hawkbit.server.error.repo.constraintViolation",
                message,
            ),
            Self::InvalidAttributes(message) => (
                "org.eclipse.hawkbit.repository.exception.InvalidTargetAttributeException",
                "hawkbit.server.error.repo.invalidTargetAttributes",
                message,
            ),
            Self::QuotaExceeded(message) => (
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
                "auto-confirm is already active".to_owned(),
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
    /// Always null.
    info: Option<()>,
}

/// Extension of a response: the server could not read or write its data, so the device could not report. The engine
/// decides whether that is an outage. Not of a request that fails by itself ([`DdiError::Internal`]), for which there is no
/// connection, or whose caller is not authenticated: none of them may stop the deadlines of other devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotServed;

impl IntoResponse for DdiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let is_served = self != Self::Unavailable;
        // The rest of the body is not read, or the connection is needed for others.
        let closes = matches!(self, Self::TimedOut | Self::NoConnection);
        let mut response = match self.body() {
            Some(body) => (status, Json(body)).into_response(),
            None => status.into_response(),
        };
        if closes {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if !is_served {
            response.extensions_mut().insert(NotServed);
        }
        response
    }
}

/// The response to a request that failed by itself: devices do not know `application/problem+json`.
pub(crate) fn internal_error() -> Response {
    DdiError::Internal.into_response()
}

impl From<Error> for DdiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::NotFound,
            Error::Invalid {
                code: "invalid_attributes",
                message,
                ..
            } => Self::InvalidAttributes(message),
            Error::Invalid { message, .. } => Self::ConstraintViolation(message),
            Error::TooMany { message, .. } => Self::QuotaExceeded(message),
            Error::TooLarge { .. } => Self::TooLarge,
            Error::Forbidden { .. } => Self::Unauthenticated,
            Error::Conflict { .. } => Self::Gone,
            Error::Unavailable { .. } | Error::NoSpace { .. } => {
                tracing::warn!(error = %chain(&error), "unavailable for a device");
                Self::Unavailable
            }
            Error::Internal { context, source } => {
                tracing::error!(error = %chain(&*source), context, "device request failed");
                Self::Internal
            }
        }
    }
}

impl From<RecordError> for DdiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Refused(EventError::Closed) => Self::Gone,
            RecordError::Refused(EventError::NotCancelling) => Self::NotCancelling,
            // As in hawkBit: 404, since there is no such update to report on or to confirm.
            RecordError::Refused(
                EventError::ConfirmationPending | EventError::NotWaitingConfirmation,
            ) => Self::NotFound,
            RecordError::AlreadyActive => Self::AutoConfirmActive,
            other => Error::from(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn an_outage_is_marked_as_an_interruption_of_reports() {
        let fault = || Error::Unavailable {
            message: "the database is not available".to_owned(),
            source: None,
        };
        for (error, is_marked) in [
            (DdiError::from(fault()), true),
            (
                DdiError::from(Error::NoSpace {
                    message: "the disk is full".to_owned(),
                }),
                true,
            ),
            (DdiError::before_authentication(fault()), false),
            (DdiError::Internal, false),
            (DdiError::TooManyRequests, false),
            (DdiError::NoConnection, false),
            (DdiError::from(RecordError::FeedbackQuota(10)), false),
            (DdiError::Unauthenticated, false),
        ] {
            let response = error.clone().into_response();
            let marked = response.extensions().get::<NotServed>().is_some();
            assert_eq!(marked, is_marked, "{error:?}");
        }
    }

    #[tokio::test]
    async fn errors_have_the_bodies_of_hawkbit() {
        for (error, status, body) in [
            (DdiError::Unauthenticated, 401, ""),
            (DdiError::NotFound, 404, ""),
            (
                DdiError::from(RecordError::Refused(EventError::Closed)),
                410,
                "",
            ),
            (DdiError::from(RecordError::NotFound), 404, ""),
            (
                DdiError::from(RecordError::Refused(EventError::ConfirmationPending)),
                404,
                "",
            ),
            (
                DdiError::from(RecordError::Refused(EventError::NotWaitingConfirmation)),
                404,
                "",
            ),
            (
                DdiError::from(RecordError::AlreadyActive),
                409,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.AutoConfirmationAlreadyActiveException","errorCode":"hawkbit.server.error.repo.autoConfAlreadyActive","message":"auto-confirm is already active","info":null}"#,
            ),
            (DdiError::TooManyRequests, 429, ""),
            (DdiError::NoConnection, 429, ""),
            (DdiError::Unavailable, 429, ""),
            (DdiError::CannotAuthenticate, 429, ""),
            (
                DdiError::from(RecordError::FeedbackQuota(1000)),
                429,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.AssignmentQuotaExceededException","errorCode":"hawkbit.server.error.quota.tooManyEntries","message":"at most 1000 reports of this update are stored; the limit ends with the update: its final report (`closed`) is accepted, and the next update starts again at none","info":null}"#,
            ),
            (
                DdiError::from(RecordError::Refused(EventError::NotCancelling)),
                405,
                r#"{"exceptionClass":"org.eclipse.hawkbit.repository.exception.CancelActionNotAllowedException","errorCode":"hawkbit.server.error.action.notCancelable","message":"the update is not being cancelled","info":null}"#,
            ),
        ] {
            let response = error.into_response();
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
