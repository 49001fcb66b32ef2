use axum::{Json, extract::State};
use http::StatusCode;
use tidegate_engine::{Admin, Authorized, plugins};

use super::{
    body::PluginBody,
    path::{PluginPath, RevisionPath},
};
use crate::{AppState, problem::Result, rest::extract::PathParams};

/// Chooses the revision that new campaigns use if they name none. If it is deprecated or disabled later, they have to name
/// one until another choice. 409 `invalid_state` if it is not enabled, `built_in_plugin` for a built-in plugin. Requires
/// the role admin.
#[utoipa::path(
    post, path = "/plugins/{vendor}/{name}/revisions/{revision}/default", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, description = "The plugin.", body = PluginBody)),
)]
pub(crate) async fn choose_default(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<Json<PluginBody>> {
    let (name, digest) = path.parse()?;
    let engine = &state.engine;
    let revisions = plugins::choose_default(&ctx, engine.store(), &name, Some(digest)).await?;
    let body = PluginBody::new(engine.plugins().built_ins(), &revisions)?;
    Ok(Json(body))
}

/// Removes the choice of a default: new campaigns that name no revision use the highest release among the enabled ones.
/// Requires the role admin.
#[utoipa::path(
    delete, path = "/plugins/{vendor}/{name}/default", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path)),
    responses((status = 204, description = "No default is chosen.")),
)]
pub(crate) async fn reset_default(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<PluginPath>,
) -> Result<StatusCode> {
    let store = state.engine.store();
    plugins::choose_default(&ctx, store, &path.parse()?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
