//! The span of a request, which every log line of the request belongs to.

use std::time::Duration;

use axum::{extract::MatchedPath, response::Response};
use http::{Extensions, Request};
use tidegate_core::id::TenantId;
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    request_id::RequestId,
    trace::{MakeSpan, TraceLayer},
};
use tracing::{Span, field::Empty};

use crate::{access_log::CallerSlot, request_id};

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
pub(crate) fn layer() -> RequestTraceLayer {
    TraceLayer::new_for_http()
        .make_span_with(RequestSpans)
        .on_request(())
        .on_response(record_status as fn(&Response, Duration, &Span))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

/// Makes the span of a request. Its fields are formatted only if the span is enabled.
#[derive(Clone)]
pub(crate) struct RequestSpans;

impl<B> MakeSpan<B> for RequestSpans {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        tracing::info_span!(
            "request",
            request_id = request_id(request.extensions()),
            method = request.method().as_str(),
            route = route(request.extensions()),
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

/// Adds the authenticated caller to the span of the current request, and to its line in the access log. The actor is the
/// name of a user or the id of a device.
pub(crate) fn record_caller(extensions: &Extensions, tenant: TenantId, actor: &str) {
    let span = Span::current();
    tracing::record_all!(span, tenant = %tenant, actor);
    if let Some(slot) = extensions.get::<CallerSlot>() {
        slot.fill(tenant, actor);
    }
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
