//! Updates by themselves, of a campaign or not.

mod cancel;
mod get;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get::get_update))
        .routes(routes!(cancel::cancel_update))
}
