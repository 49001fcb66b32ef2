//! The span of a request, which every log line of the request belongs to.

use std::time::Duration;

use axum::{extract::MatchedPath, response::Response};
use http::{Extensions, HeaderMap, Request};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    request_id::RequestId,
    trace::{MakeSpan, TraceLayer},
};
use tracing::{Span, field::Empty};

use crate::{HttpSettings, request_id};

type RequestTraceLayer = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    RequestSpans,
    (),
    fn(&Response, Duration, &Span),
    (),
    (),
    (),
>;

/// The layer that runs each request in its span, until its body is sent.
pub(crate) fn layer(settings: &HttpSettings) -> RequestTraceLayer {
    let spans = RequestSpans {
        set_parent: settings.set_parent_span,
        detailed_device_spans: settings.detailed_device_spans,
    };
    TraceLayer::new_for_http()
        .make_span_with(spans)
        .on_request(())
        .on_response(record_status as fn(&Response, Duration, &Span))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

/// The target of the spans of device requests; an exporter of spans may leave them out.
pub const DEVICE_REQUEST_TARGET: &str = "tidegate::device_request";

/// Makes the span of a request. It has the level `error`, so that the log lines of a request have its id whatever the
/// level of the log is.
#[derive(Clone)]
pub(crate) struct RequestSpans {
    set_parent: Option<fn(&HeaderMap, &Span)>,
    detailed_device_spans: bool,
}

impl<B> MakeSpan<B> for RequestSpans {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let extensions = request.extensions();
        let request_id = request_id(extensions);
        let method = request.method().as_str();
        let route = route(extensions);
        if route.starts_with(DEVICE_ROUTES) {
            return self.device_span(request_id, method, route);
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
        if let Some(set_parent) = self.set_parent {
            set_parent(request.headers(), &span);
        }
        span
    }
}

/// How the routes of devices begin.
const DEVICE_ROUTES: &str = "/{tenant}";

impl RequestSpans {
    /// The span of a device's request. All fields together cost the log's formatter ten times as much as the id alone,
    /// too much for a poll.
    fn device_span(&self, request_id: &str, method: &str, route: &str) -> Span {
        if !self.detailed_device_spans {
            return tracing::error_span!(target: DEVICE_REQUEST_TARGET, "request", request_id);
        }
        tracing::error_span!(
            target: DEVICE_REQUEST_TARGET,
            "request",
            request_id,
            method,
            route,
            status = Empty,
            tenant = Empty,
            actor = Empty,
        )
    }
}

/// Adds the status of the response to the span.
fn record_status(response: &Response, _: Duration, span: &Span) {
    span.record("status", response.status().as_u16());
}

/// The id of a request; empty outside of [`crate::router`].
pub(crate) fn request_id(extensions: &Extensions) -> &str {
    let id = extensions.get::<RequestId>();
    id.map_or("", |id| request_id::as_str(id.header_value()))
}

/// The route that matches a request, or `none`.
pub(crate) fn route(extensions: &Extensions) -> &str {
    let route = extensions.get::<MatchedPath>();
    route.map_or("none", MatchedPath::as_str)
}
