use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Ctx, access};
use utoipa::ToSchema;

use super::body::AuthorityBody;
use crate::{AppState, problem::Result};

/// All certificate authorities, ordered by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceAuthorities {
    items: Vec<AuthorityBody>,
    count: u64,
}

/// Lists the certificate authorities that devices are authenticated with.
#[utoipa::path(
    get, path = "/device-authorities", tag = "devices",
    responses((
        status = 200, description = "All certificate authorities, ordered by name.",
        body = DeviceAuthorities,
    )),
)]
pub(crate) async fn list_device_authorities(
    ctx: Ctx,
    State(state): State<AppState>,
) -> Result<Json<DeviceAuthorities>> {
    let authorities = access::authorities(&ctx, state.engine.store()).await?;
    let items: Vec<_> = authorities.into_iter().map(AuthorityBody::from).collect();
    Ok(Json(DeviceAuthorities {
        count: items.len() as u64,
        items,
    }))
}
