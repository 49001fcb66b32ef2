use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Admin, Authorized, tenants};
use utoipa::ToSchema;

use super::body::KeyBody;
use crate::{AppState, problem::Result, rest::extract::PathParams};

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

/// Shows an API key by its id, with its last use.
#[utoipa::path(
    get, path = "/keys/{key_id}", tag = "auth",
    params(("key_id" = String, Path)),
    responses((status = 200, description = "The key, without its text.", body = KeyBody)),
)]
pub(crate) async fn get_key(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(key): PathParams<String>,
) -> Result<Json<KeyBody>> {
    let key = tenants::key(&ctx, state.engine.store(), &key).await?;
    Ok(Json(key.into()))
}
