use axum::{Json, extract::State};
use tidegate_engine::{Admin, Authorized, tenants};

use super::body::KeyBody;
use crate::{AppState, problem::Result, rest::extract::PathParams};

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
