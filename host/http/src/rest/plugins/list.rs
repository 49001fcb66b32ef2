use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{Ctx, plugins};
use utoipa::IntoParams;

use super::body::{self, PluginBody};
use crate::{
    AppState,
    problem::Result,
    rest::{
        query::{QueryParams, page},
        response::List,
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PluginsQuery {
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

/// Lists plugins by name, each with its revisions, newest first.
#[utoipa::path(
    get, path = "/plugins", tag = "plugins", params(PluginsQuery),
    responses((status = 200, body = List<PluginBody>)),
)]
pub(crate) async fn list_plugins(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams(query): QueryParams<PluginsQuery>,
) -> Result<Json<List<PluginBody>>> {
    let page = page(query.limit, query.offset)?;
    let plugins = body::group_by_plugin(plugins::list(&ctx, state.engine.store()).await?)?;
    let total = plugins.len() as u64;
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let items = plugins
        .into_iter()
        .skip(skip)
        .take(page.limit as usize)
        .collect();
    Ok(Json(List::new(items, total, page)))
}
