//! Probes for orchestrators and monitoring. They need no credentials, and reveal nothing about a tenant.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use serde_json::json;
use tidegate_engine::chain;
use tokio::time::timeout;

use crate::{AppState, problem::Problem};

/// How long the readiness probe waits for the database.
const DATABASE_LIMIT: Duration = Duration::from_millis(1500);

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/health", get(health))
        .route("/readyz", get(ready))
        .route("/version", get(version))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

/// Liveness: the process responds.
async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Readiness: the database responds and takes writes, the background loops are healthy, and the server is not shutting
/// down. Answers within two seconds.
async fn ready(State(state): State<AppState>) -> Response {
    if state.shutdown.is_cancelled() {
        return unready("the server is shutting down");
    }
    if let Some(unhealthy_reason) = state.engine.unhealthy_reason() {
        tracing::warn!(unhealthy_reason, "not ready");
        return unready(&unhealthy_reason);
    }
    match timeout(DATABASE_LIMIT, state.engine.store().has_keys()).await {
        Ok(Ok(_)) => Json(json!({"status": "ready"})).into_response(),
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "not ready");
            unready("the database does not respond")
        }
        Err(_) => {
            tracing::warn!(limit = ?DATABASE_LIMIT, "not ready: no answer of the database in time");
            unready("the database does not respond")
        }
    }
}

fn unready(reason: &str) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason).into_response()
}

async fn version(State(state): State<AppState>) -> Response {
    Json(json!({
        "name": "tidegate",
        "version": env!("CARGO_PKG_VERSION"),
        "plugin_contracts": state.engine.plugins().contracts(),
    }))
    .into_response()
}
