use axum::{Json, extract::State};
use tidegate_engine::{Ctx, plugins};

use super::body::{self, PluginBody};
use crate::{
    AppState,
    problem::Result,
    rest::{
        query::{PageQuery, QueryParams},
        response::List,
    },
};

/// Lists plugins by name, each with its revisions, newest first.
#[utoipa::path(
    get, path = "/plugins", tag = "plugins", params(PageQuery),
    responses((status = 200, description = "A page of plugins, ordered by name.", body = List<PluginBody>)),
)]
pub(crate) async fn list_plugins(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<List<PluginBody>>> {
    let engine = &state.engine;
    let revisions = plugins::list(&ctx, engine.store()).await?;
    let plugins = body::group_by_plugin(engine.plugins().built_ins(), &revisions)?;
    let total = plugins.len() as u64;
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let items = plugins
        .into_iter()
        .skip(skip)
        .take(page.limit as usize)
        .collect();
    Ok(Json(List::new(items, total, page)))
}
