//! The device API.

use axum::Router;

use crate::AppState;

/// Everything under `/{tenant}/controller/v1/{device}`.
pub(crate) fn router(_state: &AppState) -> Router<AppState> {
    Router::new()
}
