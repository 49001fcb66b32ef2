//! What a tenant sets for itself.

mod access;
mod change;
mod shape;
mod show;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show::show_settings, change::change_settings))
}
