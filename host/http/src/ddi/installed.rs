use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use tidegate_engine::devices;

use super::{body::Body, device_auth::DeviceAuth, error::DdiError};
use crate::AppState;

/// Takes what a device says that it has installed: 201 if that is news, else 200.
pub(super) async fn put(
    device: DeviceAuth,
    State(state): State<AppState>,
    Body(InstalledBody { name, version }): Body<InstalledBody>,
) -> Result<StatusCode, DdiError> {
    let reported = devices::report_installed(&state.engine, &device.caller, name, version);
    Ok(if reported.await? {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    })
}

/// A firmware, in the words of its uploader.
#[derive(Debug, Deserialize)]
pub(super) struct InstalledBody {
    name: String,
    version: String,
}
