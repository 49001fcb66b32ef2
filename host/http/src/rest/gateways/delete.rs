use axum::extract::State;
use http::StatusCode;
use tidegate_engine::access;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Admin,
        extract::{PathParams, parse_id},
    },
};

/// Deletes a gateway: its token is rejected from now on, on other servers of the same database within ten seconds.
/// Devices that it registered stay.
#[utoipa::path(
    delete, path = "/gateways/{gateway_id}", tag = "devices",
    params(("gateway_id" = i64, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_gateway(
    Admin(actor): Admin,
    State(state): State<AppState>,
    PathParams(gateway): PathParams<String>,
) -> Result<StatusCode> {
    let gateway = parse_id("gateway", &gateway)?;
    access::delete_gateway(&state.engine, actor.tenant, gateway).await?;
    Ok(StatusCode::NO_CONTENT)
}
