//! Settings of a tenant.

mod access;
mod body;
mod handlers;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(handlers::show_settings, handlers::change_settings))
}
