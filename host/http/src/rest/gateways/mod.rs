//! Gateways, which authenticate on behalf of devices.

mod body;
mod create;
mod delete;
mod list;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_gateways, create::create_gateway))
        .routes(routes!(delete::delete_gateway))
}
