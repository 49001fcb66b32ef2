use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Admin, Authorized, tenants};
use utoipa::ToSchema;

use super::body::KeyBody;
use crate::{AppState, problem::Result};

/// All API keys, including expired ones, in order of creation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(crate) struct Keys {
    items: Vec<KeyBody>,
    count: u64,
}

/// Lists the API keys of the tenant, with their last use. The keys themselves are not stored.
#[utoipa::path(
    get, path = "/keys", tag = "auth",
    responses((status = 200, description = "All API keys, in order of creation.", body = Keys)),
)]
pub(crate) async fn list_keys(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
) -> Result<Json<Keys>> {
    let keys = tenants::keys(&ctx, state.engine.store()).await?;
    let items: Vec<_> = keys.into_iter().map(KeyBody::from).collect();
    Ok(Json(Keys {
        count: items.len() as u64,
        items,
    }))
}
