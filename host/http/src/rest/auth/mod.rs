//! Tokens for development.

mod dev_token;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Exists only when the server runs for development.
pub(super) fn dev_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(dev_token::make_dev_token))
}
