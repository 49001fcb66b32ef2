use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::access;
use utoipa::ToSchema;

use super::body::AuthorityBody;
use crate::{AppState, problem::Result, rest::access::Viewer};

/// All certificate authorities, ordered by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceAuthorities {
    items: Vec<AuthorityBody>,
    count: u64,
}

/// Lists the certificate authorities that devices are authenticated with.
#[utoipa::path(
    get, path = "/device-authorities", tag = "devices",
    responses((status = 200, body = DeviceAuthorities)),
)]
pub(crate) async fn list_device_authorities(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
) -> Result<Json<DeviceAuthorities>> {
    let authorities = access::authorities(&state.engine, actor.tenant).await?;
    let items: Vec<_> = authorities.into_iter().map(AuthorityBody::from).collect();
    Ok(Json(DeviceAuthorities {
        count: items.len() as u64,
        items,
    }))
}
