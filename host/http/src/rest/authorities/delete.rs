use axum::extract::State;
use http::StatusCode;
use tidegate_engine::{Admin, Authorized, access};

use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Stops trusting a certificate authority: its certificates are rejected from now on, on other servers of the same
/// database within ten seconds. Devices that it registered stay.
#[utoipa::path(
    delete, path = "/device-authorities/{authority_id}", tag = "devices",
    params(("authority_id" = i64, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_device_authority(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(authority): PathParams<String>,
) -> Result<StatusCode> {
    let authority = parse_id("authority", &authority)?;
    access::delete_authority(&ctx, state.engine.store(), state.engine.caches(), authority).await?;
    Ok(StatusCode::NO_CONTENT)
}
