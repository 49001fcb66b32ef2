//! The REST API. A file holds one operation, or a few that belong together: request and response types, documentation
//! and handler.

mod access;
mod authorities;
mod campaigns;
mod content_disposition;
mod deny_unknown;
mod dev_token;
mod devices;
mod document;
mod enum_field;
mod event_stream;
mod extract;
mod firmware;
mod from_json;
mod gateways;
mod handler_timeout;
mod idempotency;
mod json;
mod json_reader;
mod keys;
mod multipart;
mod patch;
mod plugins;
mod query;
mod response;
mod rules;
mod settings;
mod shared;
mod size_limit;
mod stats;
mod unused_query;
mod updates;

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE},
};
use utoipa::{OpenApi as _, openapi::Paths};
use utoipa_axum::router::OpenApiRouter;

use crate::{AppState, client::Client, content_coding::is_encoded, problem::Problem};

use self::unused_query::{QueryOperations, refuse_unused_query};

/// Everything under `/api/v1`.
pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let is_dev = state.settings.dev;
    let (router, operations) = operations(is_dev, Some(state)).split_for_parts();
    let with_query = QueryOperations::of(&operations);
    // Made at the first request: it takes time and memory, and most servers are never asked for it.
    let document = Arc::new(OnceLock::new());
    let document = move || document.get_or_init(|| json_document(is_dev)).clone();
    let limit = middleware::from_fn_with_state(state.clone(), limit_rate);
    router
        .layer(limit)
        .route(
            "/openapi.json",
            get(|| async move { ([(CONTENT_TYPE, "application/json")], document()) }),
        )
        .layer(middleware::from_fn(refuse_encoded_body))
        .layer(middleware::from_fn_with_state(
            with_query,
            refuse_unused_query,
        ))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

fn json_document(is_dev: bool) -> Bytes {
    let document = finish(operations(is_dev, None).into_openapi());
    let json = document.to_json();
    Bytes::from(json.expect("maps with text keys are JSON"))
}

/// The OpenAPI document of the REST API, without the operations of the development mode.
pub fn openapi() -> utoipa::openapi::OpenApi {
    finish(operations(false, None).into_openapi())
}

/// All operations. Uploads, downloads and event streams have no time limit; all others do.
fn operations(is_dev: bool, state: Option<&AppState>) -> OpenApiRouter<AppState> {
    let mut quick = OpenApiRouter::new()
        .merge(firmware::routes())
        .merge(campaigns::routes())
        .merge(devices::routes())
        .merge(gateways::routes())
        .merge(keys::routes())
        .merge(authorities::routes())
        .merge(plugins::routes())
        .merge(settings::routes())
        .merge(stats::routes())
        .merge(updates::routes());
    let mut slow = OpenApiRouter::new()
        .merge(firmware::slow_routes())
        .merge(campaigns::slow_routes())
        .merge(plugins::slow_routes());
    if let Some(state) = state {
        let layer = middleware::from_fn_with_state(state.clone(), idempotency::idempotency_layer);
        (quick, slow) = (quick.layer(layer.clone()), slow.layer(layer));
    }
    // The dev token operation is outside the idempotency layer, because its caller is not authenticated.
    if is_dev {
        quick = quick.merge(dev_token::dev_routes());
    }
    if let Some(state) = state {
        let limit = state.settings.request_timeout;
        quick = quick.layer(middleware::from_fn_with_state(
            limit,
            handler_timeout::limit_handler_time,
        ));
    }
    OpenApiRouter::with_openapi(document::ApiDocument::openapi())
        .merge(quick)
        .merge(slow)
}

fn finish(document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let nested = utoipa::openapi::OpenApi::new(document.info.clone(), Paths::new());
    let mut nested = nested.nest("/api/v1", document);
    document::add_common_parts(&mut nested);
    nested
}

/// Rejects clients that exceed their rate limit, before anything else of the request is read.
async fn limit_rate(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let address = request
        .extensions()
        .get()
        .and_then(|client: &Client| client.address);
    if !state.limits.allow_client(address, request.method()) {
        return Problem::rate_limited().into_response();
    }
    next.run(request).await
}

/// 415 for a compressed body.
async fn refuse_encoded_body(request: Request, next: Next) -> Response {
    if !is_encoded(request.headers()) {
        return next.run(request).await;
    }
    let detail = "send the body without a `Content-Encoding`, and with no `Transfer-Encoding` but `chunked`; no operation takes a \
                  compressed body";
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        detail,
    );
    ([(ACCEPT_ENCODING, "identity")], problem).into_response()
}
