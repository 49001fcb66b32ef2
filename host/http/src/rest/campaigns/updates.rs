use axum::{Json, extract::State};
use tidegate_engine::{Ctx, campaigns};

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        query::QueryParams,
        response::List,
        shared::{UpdateBody, UpdatesQuery},
    },
};

/// Lists a campaign's updates, newest first, including its rollbacks.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/updates", tag = "campaigns",
    params(("campaign_id" = i64, Path), UpdatesQuery),
    responses((
        status = 200, description = "A page of the campaign's updates, newest first.",
        body = List<UpdateBody>,
    )),
)]
pub(crate) async fn list_campaign_updates(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    QueryParams((status, page)): QueryParams<UpdatesQuery>,
) -> Result<Json<List<UpdateBody>>> {
    let campaign = parse_id("campaign", &campaign)?;
    let found = campaigns::updates(&ctx, state.engine.store(), campaign, status, page).await?;
    let items = found.items.into_iter().map(UpdateBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
