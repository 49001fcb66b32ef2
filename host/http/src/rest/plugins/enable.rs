use axum::{Json, extract::State};
use tidegate_engine::{plugins, tenants::Actor};

use super::body::RevisionBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Publisher,
        extract::{PathParams, parse_id},
    },
};

/// Allows new campaigns to use a revision.
#[utoipa::path(
    post, path = "/plugins/{name}/revisions/{revision}/enable", tag = "plugins",
    params(("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, body = RevisionBody)),
)]
pub(crate) async fn enable_revision(
    Publisher(actor): Publisher,
    State(state): State<AppState>,
    PathParams((name, revision)): PathParams<(String, String)>,
) -> Result<Json<RevisionBody>> {
    set_enabled(&state, &actor, &name, &revision, true).await
}

/// Prevents new campaigns from using a revision. Campaigns that use it already continue.
#[utoipa::path(
    post, path = "/plugins/{name}/revisions/{revision}/disable", tag = "plugins",
    params(("name" = String, Path), ("revision" = String, Path, description = "`sha256:...`")),
    responses((status = 200, body = RevisionBody)),
)]
pub(crate) async fn disable_revision(
    Publisher(actor): Publisher,
    State(state): State<AppState>,
    PathParams((name, revision)): PathParams<(String, String)>,
) -> Result<Json<RevisionBody>> {
    set_enabled(&state, &actor, &name, &revision, false).await
}

async fn set_enabled(
    state: &AppState,
    actor: &Actor,
    name: &str,
    revision: &str,
    enabled: bool,
) -> Result<Json<RevisionBody>> {
    let digest = parse_id("plugin revision", revision)?;
    let revision = plugins::enable(&state.engine, actor, name, digest, enabled).await?;
    Ok(Json(RevisionBody::new(revision)?))
}
