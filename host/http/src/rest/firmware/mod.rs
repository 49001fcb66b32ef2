//! Firmware.

mod body;
mod delete;
mod download;
mod get;
mod list;
mod metadata;
mod upload;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use body::FirmwareBody;

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_firmware))
        .routes(routes!(get::get_firmware, delete::delete_firmware))
}

/// Uploads and downloads, which have no time limit.
pub(super) fn slow_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(upload::upload_firmware))
        .routes(routes!(download::download_firmware))
}
