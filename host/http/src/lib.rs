//! What Tidegate says over HTTP: the device API at `/{tenant}/controller/v1/{device}`, the REST API at `/api/v1`, and
//! probes and metrics beside them.
//!
//! # Architecture invariant
//!
//! Handlers translate: they read a request, call one use case of the engine and write an answer. Wire types live here and
//! nowhere else, and every failure of the REST API becomes `application/problem+json` in one place.

mod ddi;
mod etag;
mod file;
mod metrics;
mod probes;
mod problem;
mod rest;
mod serve;
mod state;

pub use metrics::Metrics;
pub use rest::openapi;
pub use serve::serve;
pub use state::{AppState, HttpSettings};

use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;

use problem::Problem;

/// Everything that is served.
pub fn router(state: AppState) -> Router {
    Router::new()
        .merge(probes::router())
        .nest("/api/v1", rest::router(&state))
        .nest("/{tenant}/controller/v1/{device}", ddi::router(&state))
        .fallback(|| async { Problem::no_route() })
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            metrics::count_requests,
        ))
        .with_state(state)
}
