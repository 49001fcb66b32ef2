use axum::{Json, extract::State};
use tidegate_engine::{Admin, Authorized, plugins};

use super::{body::RevisionBody, path::RevisionPath};
use crate::{AppState, problem::Result, rest::extract::PathParams};

/// Allows new campaigns to use a revision. Requires the role admin.
#[utoipa::path(
    post, path = "/plugins/{vendor}/{name}/revisions/{revision}/enable", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, description = "The enabled revision.", body = RevisionBody)),
)]
pub(crate) async fn enable_revision(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<Json<RevisionBody>> {
    set_enabled(&ctx, &state, &path, true).await
}

/// Prevents new campaigns from using a revision. Campaigns that use it already continue. Requires the
/// role admin.
#[utoipa::path(
    post, path = "/plugins/{vendor}/{name}/revisions/{revision}/disable", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, description = "The disabled revision.", body = RevisionBody)),
)]
pub(crate) async fn disable_revision(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<Json<RevisionBody>> {
    set_enabled(&ctx, &state, &path, false).await
}

async fn set_enabled(
    ctx: &Authorized<Admin>,
    state: &AppState,
    path: &RevisionPath,
    enabled: bool,
) -> Result<Json<RevisionBody>> {
    let (name, digest) = path.parse()?;
    let revision = plugins::enable(ctx, state.engine.store(), &name, digest, enabled).await?;
    Ok(Json(RevisionBody::new(revision)?))
}
