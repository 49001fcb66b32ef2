//! The span of a request, which every log line of the request belongs to.

use axum::extract::Request;
use http::HeaderValue;
use tracing::{Span, field::Empty};

use crate::{HttpSettings, request_id, route::Route};

/// The target of the spans of device requests; an exporter of spans may leave them out.
pub const DEVICE_REQUEST_TARGET: &str = "tidegate::device_request";

/// The span of a request. It has the level `error`, so that the log lines of a request have its id whatever the level of
/// the log is.
pub(crate) fn begin(
    settings: &HttpSettings,
    route: &Route,
    id: &HeaderValue,
    request: &Request,
) -> Span {
    let request_id = request_id::as_str(id);
    let method = request.method().as_str();
    let (is_of_device, route) = (route.is_of_device(), route.as_str());
    if is_of_device && settings.detailed_device_spans {
        return tracing::error_span!(
            target: DEVICE_REQUEST_TARGET,
            "request",
            request_id,
            method,
            route,
            status = Empty,
            tenant = Empty,
            actor = Empty,
        );
    }
    if is_of_device {
        // All fields together cost the log's formatter ten times as much as the id alone, too much for a poll.
        return tracing::error_span!(target: DEVICE_REQUEST_TARGET, "request", request_id);
    }
    let span = tracing::error_span!(
        "request",
        request_id,
        method,
        route,
        status = Empty,
        tenant = Empty,
        actor = Empty,
    );
    if let Some(set_parent) = settings.set_parent_span {
        set_parent(request.headers(), &span);
    }
    span
}
