//! Single updates, of a campaign or not.

mod cancel;
mod get;
mod log;
mod log_body;
mod retry;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get::get_update))
        .routes(routes!(cancel::cancel_update))
        .routes(routes!(retry::retry_update))
        .routes(routes!(log::show_log))
}
