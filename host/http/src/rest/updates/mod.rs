//! Single updates, of a campaign or not.

mod cancel;
mod follow;
mod get;
mod log;
mod log_body;
mod retry;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use follow::{accepts_event_stream, follow_logs};
pub(crate) use log_body::LogLineBody;

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get::get_update))
        .routes(routes!(cancel::cancel_update))
        .routes(routes!(retry::retry_update))
        .routes(routes!(log::show_log))
}
