use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidegate_engine::devices;

use super::{body::Body, door::Door, refusal::Refusal};
use crate::AppState;

/// Takes what a device says that it has installed: 201 if that is news, else 200.
pub(super) async fn put(
    door: Door,
    State(state): State<AppState>,
    Body(Installed { name, version }): Body<Installed>,
) -> Result<StatusCode, Refusal> {
    let reported = devices::report_installed(&state.engine, &door.caller, name, version);
    Ok(if reported.await? {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    })
}

/// A firmware, in the words of its uploader.
#[derive(Debug, Deserialize)]
pub(super) struct Installed {
    name: String,
    version: String,
}
