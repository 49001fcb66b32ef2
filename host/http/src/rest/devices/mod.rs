//! Devices as operators see them.

mod create;
mod explain;
mod get;
mod list;
mod log;
mod shape;
mod update;
mod updates;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use update::UpdateBody;

use crate::AppState;

/// Answered at once.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_devices, create::create_device))
        .routes(routes!(get::get_device))
        .routes(routes!(updates::list_device_updates))
        .routes(routes!(log::show_update_log))
        .routes(routes!(explain::explain_device))
}
