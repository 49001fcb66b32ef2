//! Plugins and their revisions.

mod body;
mod default;
mod delete;
mod get;
mod list;
mod path;
mod rejections;
mod state;
mod upload;
mod validate;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_plugins))
        .routes(routes!(get::get_plugin))
        .routes(routes!(get::get_revision, delete::delete_revision))
        .routes(routes!(state::enable_revision))
        .routes(routes!(state::deprecate_revision))
        .routes(routes!(state::disable_revision))
        .routes(routes!(default::choose_default))
        .routes(routes!(default::reset_default))
        .routes(routes!(validate::validate_config))
        .routes(routes!(rejections::list_plugin_rejections))
}

/// Uploads, which end after the component is compiled and validated.
pub(super) fn slow_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(upload::upload_plugin))
}
