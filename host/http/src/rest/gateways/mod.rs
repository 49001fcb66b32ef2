//! Gateways, which speak for devices.

mod body;
mod create;
mod delete;
mod list;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_gateways, create::create_gateway))
        .routes(routes!(delete::delete_gateway))
}
