use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidegate_engine::devices;

use super::{body::DdiBody, device_auth::DeviceAuth, error::DdiError};
use crate::AppState;

/// Records the firmware that a device reports as installed: 201 if it is new, else 200.
pub(super) async fn put(
    device: DeviceAuth,
    State(state): State<AppState>,
    DdiBody(InstalledBody { name, version }): DdiBody<InstalledBody>,
) -> Result<StatusCode, DdiError> {
    let reported = devices::report_installed(&device.caller, &state.engine, name, version);
    Ok(if reported.await? {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    })
}

/// A firmware, by the name and version of its upload.
#[derive(Debug, Deserialize)]
pub(super) struct InstalledBody {
    name: String,
    version: String,
}
