//! Single updates, of a campaign or not.

mod approve;
mod cancel;
mod get;
mod list;
mod log;
mod retry;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_updates))
        .routes(routes!(get::get_update))
        .routes(routes!(approve::approve_update))
        .routes(routes!(cancel::cancel_update))
        .routes(routes!(retry::retry_update))
        .routes(routes!(log::show_log))
}
