use axum::{extract::State, response::Response};
use serde::Serialize;
use tidegate_engine::devices;

use super::{door::Door, params::Update, refusal::Refusal, representation::Representation};
use crate::AppState;

/// Tells the device which update is called back.
pub(super) async fn get(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
    Update(update): Update,
) -> Result<Response, Refusal> {
    devices::cancel_action(&state.engine, &door.caller, update).await?;
    // Clients take the three for one number, and they are.
    let id = update.to_string();
    representation.of(&Answer {
        id: &id,
        cancel_action: CancelAction { stop_id: &id },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    id: &'a str,
    cancel_action: CancelAction<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelAction<'a> {
    stop_id: &'a str,
}
