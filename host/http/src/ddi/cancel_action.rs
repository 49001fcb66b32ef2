use axum::{extract::State, response::Response};
use serde::Serialize;
use tidegate_engine::devices;

use super::{
    device_auth::DeviceAuth, error::DdiError, path::UpdateParam, representation::Representation,
};
use crate::AppState;

/// The cancellation of an update.
pub(super) async fn get(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
) -> Result<Response, DdiError> {
    devices::check_cancel_action(&device.caller, &state.engine, update).await?;
    // hawkBit has separate ids for the action and its cancellation; here they are the same.
    let id = update.to_string();
    representation.respond(&CancelActionBody {
        id: &id,
        cancel_action: CancelAction { stop_id: &id },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelActionBody<'a> {
    id: &'a str,
    cancel_action: CancelAction<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelAction<'a> {
    stop_id: &'a str,
}
