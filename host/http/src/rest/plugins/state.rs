use axum::{Json, extract::State};
use tidegate_core::plugin::RevisionState;
use tidegate_engine::{Admin, Authorized, plugins};

use super::{body::RevisionBody, path::RevisionPath};
use crate::{AppState, problem::Result, rest::extract::PathParams};

/// Allows new campaigns to use a revision. It can become the default. Requires the role admin.
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
    change_state(&ctx, &state, &path, RevisionState::Enabled).await
}

/// Keeps a revision for new campaigns that name it; it is not the default any more. 409 `invalid_state` if it is not
/// enabled, `built_in_plugin` for a built-in plugin. Requires the role admin.
#[utoipa::path(
    post, path = "/plugins/{vendor}/{name}/revisions/{revision}/deprecate", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, description = "The deprecated revision.", body = RevisionBody)),
)]
pub(crate) async fn deprecate_revision(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<Json<RevisionBody>> {
    change_state(&ctx, &state, &path, RevisionState::Deprecated).await
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
    change_state(&ctx, &state, &path, RevisionState::Disabled).await
}

async fn change_state(
    ctx: &Authorized<Admin>,
    state: &AppState,
    path: &RevisionPath,
    next: RevisionState,
) -> Result<Json<RevisionBody>> {
    let (name, digest) = path.parse()?;
    let revision = plugins::change_state(ctx, state.engine.store(), &name, digest, next).await?;
    Ok(Json(RevisionBody::new(revision)?))
}
