//! What surrounds the handler of every request, whatever its interface.

use std::{panic::AssertUnwindSafe, task::Poll};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use http::{HeaderValue, Method, StatusCode, header::CONNECTION};
use tracing::{Instrument as _, Span};

use crate::{
    AppState, PublicUrl,
    access_log::AccessLogEntry,
    client::{self, Client},
    ddi,
    default_headers::set_default_headers,
    host, loopback_host,
    metrics::RequestTimer,
    observed_body::{ObservedBody, is_small},
    problem::{self, Problem},
    request_id::{self, X_REQUEST_ID},
    request_span,
    route::Route,
    running_request,
    unread_body::UnreadBody,
};

/// Answers a request by `respond`, in the span of the request. Before it, the request gets an id and its client is
/// identified; after it, the response gets the headers that all responses have, and is counted and logged.
///
/// One function instead of a layer for each task: every layer of a router clones and boxes the service below it and its
/// future for each request, which costs a poll more than its handler.
pub(crate) async fn observe<F>(
    state: &AppState,
    route: Route,
    mut request: Request,
    respond: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let timer = RequestTimer::start(&request);
    let is_write = matches!(*request.method(), Method::POST | Method::PUT);
    let unread_body = UnreadBody::of(&mut request);
    let id = request_id::assign(&state.request_ids, &mut request);
    let span = request_span::begin(&state.settings, &route, &id, &request);
    let prefix = client::identify_client(state, &mut request);
    let entry = state
        .settings
        .access_log
        .then(|| AccessLogEntry::begin(&mut request, route.clone(), &id));
    let mut response = if let Some(refused) = refusal(state, &request) {
        refused
    } else {
        let responding = async { respond(request).await }.instrument(span.clone());
        let responding = running_request::run(route.of_device(), responding);
        let responded = AssertUnwindSafe(responding).catch_unwind().await;
        responded.unwrap_or_else(|_| response_to_panic(&route))
    };
    if is_write && response.extensions().get::<ddi::NotServed>().is_some() {
        state.engine.note_refused_report();
    }
    problem::add_request_id(&mut response, &id);
    let public_url = state.settings.public_url.as_ref();
    let base = public_url.map_or(&*prefix, PublicUrl::as_str);
    client::complete_location(base, &mut response);
    span.record("status", response.status().as_u16());
    if let Some(unread_body) = unread_body
        && !unread_body.drain().await
    {
        close_connection(&mut response);
    }
    set_default_headers(&mut response);
    response.headers_mut().insert(X_REQUEST_ID, id);
    timer.finish(&route, &response, &state.metrics);
    until_sent(response, span, entry)
}

/// The response to a request whose handler panicked. The process's panic hook has reported the panic, where it happened.
fn response_to_panic(route: &Route) -> Response {
    match route {
        Route::Device(_) => ddi::internal_error(),
        Route::Other(_) => Problem::internal().into_response(),
    }
}

/// The response to a request that no handler gets to see.
fn refusal(state: &AppState, request: &Request) -> Option<Response> {
    // Requests without a client's address are those of tests.
    let client = request.extensions().get::<Client>();
    let is_connected = client.is_some_and(|client| client.address.is_some());
    if is_connected && !host::names_one_host(request) {
        let detail = "a request must have exactly one `Host` header";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_host", detail);
        let mut response = problem.into_response();
        close_connection(&mut response);
        return Some(response);
    }
    let is_refused =
        state.settings.loopback_hosts_only && !loopback_host::names_loopback_host(request);
    is_refused.then(|| loopback_host::not_loopback().into_response())
}

/// Adds `Connection: close`: the rest of the request is not read, so the connection ends, and clients must not reuse it.
fn close_connection(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

/// Keeps the span and the entry of the access log until the body is sent. Nothing happens while a small body is sent, so
/// it only needs the entry.
fn until_sent(response: Response, span: Span, mut entry: Option<AccessLogEntry>) -> Response {
    if let Some(entry) = &mut entry {
        entry.answered(response.status());
    } else if is_small(response.body()) {
        return response;
    }
    response.map(|body| {
        let counted = ObservedBody::new(body, move |_, polled| {
            if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut entry, polled) {
                entry.count(frame);
            }
        });
        Body::new(counted.in_span(span))
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_without_its_message() {
        let panicking = futures::future::lazy(|_| -> () { panic!("the secret plan") });
        let panic = AssertUnwindSafe(panicking).catch_unwind().await;
        panic.expect_err("a panic");
        let response = response_to_panic(&Route::Other(None));
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await;
        let body = body.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains(r#""code":"internal""#) && !text.contains("secret"),
            "{text}"
        );
    }
}
