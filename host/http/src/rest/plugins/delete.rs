use axum::extract::State;
use http::StatusCode;
use tidegate_engine::{Admin, Authorized, plugins};

use super::path::RevisionPath;
use crate::{AppState, problem::Result, rest::extract::PathParams};

/// Deletes a revision. 409 `revision_in_use` if a campaign is pinned to it, also an ended one: its journal is replayed with
/// it. Requires the role admin.
#[utoipa::path(
    delete, path = "/plugins/{vendor}/{name}/revisions/{revision}", tag = "plugins",
    params(("vendor" = String, Path), ("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_revision(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(path): PathParams<RevisionPath>,
) -> Result<StatusCode> {
    let (name, digest) = path.parse()?;
    let engine = &state.engine;
    plugins::delete(&ctx, engine.store(), engine.files(), &name, digest).await?;
    Ok(StatusCode::NO_CONTENT)
}
