//! Statistics.

mod campaign;
mod tenant;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(tenant::show_stats))
        .routes(routes!(campaign::show_campaign_stats))
}
