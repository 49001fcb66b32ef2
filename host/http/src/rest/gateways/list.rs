use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Ctx, access};
use utoipa::ToSchema;

use super::body::GatewayBody;
use crate::{AppState, problem::Result};

/// All gateways, ordered by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gateways {
    items: Vec<GatewayBody>,
    count: u64,
}

/// Lists the gateways, without their tokens.
#[utoipa::path(
    get, path = "/gateways", tag = "devices",
    responses((status = 200, description = "All gateways, ordered by name.", body = Gateways)),
)]
pub(crate) async fn list_gateways(
    ctx: Ctx,
    State(state): State<AppState>,
) -> Result<Json<Gateways>> {
    let gateways = access::gateways(&ctx, state.engine.store()).await?;
    let items: Vec<_> = gateways.into_iter().map(GatewayBody::from).collect();
    Ok(Json(Gateways {
        count: items.len() as u64,
        items,
    }))
}
