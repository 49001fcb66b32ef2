//! Tidegate's HTTP interfaces: the device API (DDI) at `/{tenant}/controller/v1/{device}`, the REST API at `/api/v1`,
//! probes and metrics.
//!
//! # Architecture invariant
//!
//! Handlers only translate: each parses a request, calls one use case of the engine and writes a response. Wire types
//! exist only here, and one module turns every failure of the REST API into `application/problem+json`.

mod access_log;
mod bearer;
mod body_timeout;
mod caller;
mod client;
mod client_cert_headers;
mod connections;
mod content_coding;
mod ddi;
mod etag;
mod field_names;
mod file;
mod forwarded;
mod host;
mod idle_timeout;
mod limits;
mod login_kind;
mod loopback_host;
mod metrics;
mod metrics_endpoint;
mod observed_body;
mod probes;
mod problem;
mod public_url;
mod refused_logins;
mod request_id;
mod request_span;
mod rest;
mod serve;
mod state;
mod stream_credentials;
mod tls;
mod tokens;
mod x509;

pub use http::HeaderName;
pub use ipnet::IpNet;

pub use client_cert_headers::ClientCertHeaderNames;
pub use forwarded::{ProxyHeaders, TrustedProxies};
pub use limits::{RequestLimitSettings, Uptime};
pub use metrics::{Metrics, PluginLabels};
pub use public_url::{InvalidPublicUrl, PublicUrl};
pub use request_span::DEVICE_REQUEST_TARGET;
pub use rest::openapi;
pub use serve::HttpServer;
pub use state::{AppState, HttpSettings, MetricsAccess};
pub use tls::{ClientAuth, Tls, TlsError, TlsSettings};
pub use tokens::TokenSettings;

use axum::{
    Router,
    body::HttpBody as _,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, Method, StatusCode, Version,
    header::{CACHE_CONTROL, CONNECTION, X_CONTENT_TYPE_OPTIONS},
};
use tower::{
    ServiceBuilder,
    util::{MapRequestLayer, MapResponseLayer},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
};

use metrics::RequestTimer;
use problem::Problem;

/// The router of all HTTP interfaces; without `/metrics` if that has an address of its own.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new()
        .merge(probes::router())
        .nest("/api/v1", rest::router(&state))
        .nest("/{tenant}/controller/v1/{device}", ddi::router());
    if !state.settings.metrics.has_own_address {
        router = router.merge(metrics_endpoint::router());
    }
    with_layers(router, state)
}

/// The router of the address that only `/metrics` has.
pub fn metrics_router(state: AppState) -> Router {
    with_layers(metrics_endpoint::router(), state)
}

fn with_layers(router: Router<AppState>, state: AppState) -> Router {
    let access_log = state.settings.access_log;
    let access_log = access_log.then(|| middleware::from_fn(access_log::log_request));
    let loopback_host = state.settings.loopback_hosts_only;
    let loopback_host =
        loopback_host.then(|| middleware::from_fn(loopback_host::require_loopback_host));
    router
        .fallback(|| async { Problem::no_route() })
        // One stack instead of one `layer` call for each: every call boxes the request's future.
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(
                    state.clone(),
                    observe_request,
                ))
                .layer(MapRequestLayer::new(request_id::discard_invalid_id))
                .layer(SetRequestIdLayer::x_request_id(state.request_ids.clone()))
                .layer(request_span::layer(&state.settings))
                .layer(MapResponseLayer::new(problem::add_request_id))
                .layer(PropagateRequestIdLayer::x_request_id())
                .option_layer(access_log)
                .option_layer(loopback_host)
                .layer(MapResponseLayer::new(IntoResponse::into_response))
                .layer(CatchPanicLayer::custom(problem::from_panic)),
        )
        .with_state(state)
}

/// Request bodies up to this size are read to their end even if the request is refused.
const MAX_DRAINED_BODY_BYTES: u64 = 16 << 10;

/// Identifies the client, counts the request and completes the headers of its response. One function does it all, because
/// each function of middleware boxes the services below it and its future for every request.
async fn observe_request(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let timer = RequestTimer::start(&request);
    let is_write = matches!(*request.method(), Method::POST | Method::PUT);
    let has_unread_body = has_large_body(&request) && request.version() < Version::HTTP_2;
    // No operation with these methods reads a body.
    let ignores_body = matches!(*request.method(), Method::GET | Method::HEAD);
    // Requests without a connection are those of tests.
    let is_connected = request.extensions().get::<client::Connection>().is_some();
    let (request, prefix) = if is_connected && !host::names_one_host(&request) {
        let mut response = invalid_host().into_response();
        close_connection(&mut response);
        set_default_headers(&mut response);
        timer.finish(&response, &state.metrics);
        return response;
    } else {
        client::identify_client(&state, request)
    };
    let mut response = next.run(request).await;
    if is_write && response.extensions().get::<ddi::NotServed>().is_some() {
        state.engine.note_refused_report();
    }
    let public_url = state.settings.public_url.as_ref();
    let base = public_url.map_or(&*prefix, PublicUrl::as_str);
    client::complete_location(base, &mut response);
    let status = response.status();
    let is_refused = status.is_client_error() || status.is_server_error();
    if has_unread_body && (is_refused || ignores_body) {
        close_connection(&mut response);
    }
    set_default_headers(&mut response);
    timer.finish(&response, &state.metrics);
    response
}

fn has_large_body(request: &Request) -> bool {
    let size = request.body().size_hint().upper();
    size.is_none_or(|size| size > MAX_DRAINED_BODY_BYTES)
}

/// Adds `Connection: close`: the rest of the request is not read, so the connection ends, and clients must not reuse it.
fn close_connection(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

fn invalid_host() -> Problem {
    let detail = "a request needs one `Host` header, and no second one";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_host", detail)
}

/// A response whose own headers say how it may be stored and read: a file.
#[derive(Clone, Copy)]
pub(crate) struct OwnCacheHeaders;

/// Other responses are not to be stored, and their type is not to be guessed. The values are static, and the headers of
/// a poll fit the map that it has anyway.
fn set_default_headers(response: &mut Response) {
    if response.extensions().get::<OwnCacheHeaders>().is_some() {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_without_its_message() {
        async fn broken() -> &'static str {
            panic!("the secret plan")
        }
        let router = Router::<()>::new()
            .route("/", get(broken))
            .layer(CatchPanicLayer::custom(problem::from_panic));
        let response = router.oneshot(Request::new(Body::empty())).await;
        let response = response.expect("a router never fails");
        assert_eq!(response.status(), 500);
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains(r#""code":"internal""#) && !text.contains("secret"),
            "{text}"
        );
    }
}
