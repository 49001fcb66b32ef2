//! Probes and metrics for orchestrators and monitoring. They need no credentials, and reveal nothing about a tenant.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tidegate_engine::chain;

use crate::{AppState, problem::Problem};

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/health", get(health))
        .route("/readyz", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(show_metrics))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

/// Liveness: the process responds.
async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Readiness: the database responds, the background loops are healthy, and the server is not shutting down.
async fn ready(State(state): State<AppState>) -> Response {
    if state.shutdown.is_cancelled() {
        return unready("the server is shutting down");
    }
    if let Some(unhealthy_reason) = state.engine.health().unhealthy_reason() {
        tracing::warn!(unhealthy_reason, "not ready");
        return unready(&unhealthy_reason);
    }
    match state.engine.store().has_keys().await {
        Ok(_) => Json(json!({"status": "ready"})).into_response(),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "not ready");
            unready("the database does not respond")
        }
    }
}

fn unready(reason: &str) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason).into_response()
}

async fn version() -> Response {
    Json(json!({
        "name": "tidegate",
        "version": env!("CARGO_PKG_VERSION"),
        "plugin_contracts": ["1.0.0"],
    }))
    .into_response()
}

async fn show_metrics(State(state): State<AppState>) -> Response {
    state.metrics.refresh_fleet_gauges(&state.engine).await;
    (
        [(CONTENT_TYPE, prometheus::TEXT_FORMAT)],
        state.metrics.encode(),
    )
        .into_response()
}
