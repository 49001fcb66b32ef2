use axum::{Json, extract::State};
use tidegate_engine::{Ctx, plugins};

use super::{
    body::{PluginBody, RevisionBody},
    path::{PluginPath, RevisionPath},
};
use crate::{AppState, problem::Result, rest::extract::PathParams};

/// Shows a plugin with all its revisions.
#[utoipa::path(
    get, path = "/plugins/{vendor}/{name}", tag = "plugins", params(("vendor" = String, Path), ("name" = String, Path)),
    responses((status = 200, description = "The plugin.", body = PluginBody)),
)]
pub(crate) async fn get_plugin(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(path): PathParams<PluginPath>,
) -> Result<Json<PluginBody>> {
    let name = path.parse()?;
    let engine = &state.engine;
    let revisions = plugins::get(&ctx, engine.store(), &name).await?;
    let body = PluginBody::new(engine.plugins().built_ins(), &revisions)?;
    Ok(Json(body))
}

/// Shows one revision of a plugin.
#[utoipa::path(
    get, path = "/plugins/{vendor}/{name}/revisions/{revision}", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, description = "The revision.", body = RevisionBody)),
)]
pub(crate) async fn get_revision(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<Json<RevisionBody>> {
    let (name, digest) = path.parse()?;
    let revision = plugins::revision(&ctx, state.engine.store(), &name, digest).await?;
    Ok(Json(RevisionBody::new(revision)?))
}
