//! What a tenant sets for itself.

mod access;
mod body;
mod handlers;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(handlers::show_settings, handlers::change_settings))
}
