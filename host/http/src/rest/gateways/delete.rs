use axum::extract::State;
use http::StatusCode;
use tidegate_engine::{Admin, Authorized, access};

use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Deletes a gateway: its token is rejected from now on, on other servers of the same database within ten seconds.
/// Devices that it registered stay.
#[utoipa::path(
    delete, path = "/gateways/{gateway_id}", tag = "devices",
    params(("gateway_id" = i64, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_gateway(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(gateway): PathParams<String>,
) -> Result<StatusCode> {
    let gateway = parse_id("gateway", &gateway)?;
    access::delete_gateway(&ctx, state.engine.store(), state.engine.caches(), gateway).await?;
    Ok(StatusCode::NO_CONTENT)
}
