//! Devices, for operators.

mod attribute_changes;
mod auto_confirm;
mod body;
mod bulk;
mod create;
mod device;
mod explain;
mod list;
mod log;
mod rollback;
mod start_update;
mod token;
mod update_config;
mod updates;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_devices, create::create_device))
        .routes(routes!(
            device::get_device,
            device::change_device,
            device::delete_device
        ))
        .routes(routes!(token::replace_token, token::revoke_token))
        .routes(routes!(
            auto_confirm::activate_auto_confirm,
            auto_confirm::deactivate_auto_confirm
        ))
        .routes(routes!(attribute_changes::list_attribute_changes))
        .routes(routes!(updates::list_device_updates))
        .routes(routes!(start_update::update_device))
        .routes(routes!(rollback::roll_back_device))
        .routes(routes!(bulk::update_devices))
        .routes(routes!(log::show_update_log))
        .routes(routes!(explain::explain_device))
}
