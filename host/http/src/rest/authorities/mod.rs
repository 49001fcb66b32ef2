//! Certificate authorities that devices are authenticated with.

mod body;
mod create;
mod delete;
mod list;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(
            list::list_device_authorities,
            create::create_device_authority
        ))
        .routes(routes!(delete::delete_device_authority))
}
