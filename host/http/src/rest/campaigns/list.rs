use axum::{Json, extract::State};
use serde::Deserialize;
use strum::VariantNames;
use tidegate_core::campaign::CampaignStatus;
use tidegate_engine::{Ctx, campaigns, ports::CampaignFilter};
use utoipa::IntoParams;

use super::body::{CampaignBody, summary};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        query::{QueryParams, page},
        response::List,
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CampaignsQuery {
    /// Only campaigns with this status.
    status: Option<String>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

/// Lists campaigns, newest first, without their waves.
#[utoipa::path(
    get, path = "/campaigns", tag = "campaigns", params(CampaignsQuery),
    responses((status = 200, body = List<CampaignBody>)),
)]
pub(crate) async fn list_campaigns(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams(query): QueryParams<CampaignsQuery>,
) -> Result<Json<List<CampaignBody>>> {
    let page = page(query.limit, query.offset)?;
    let filter = CampaignFilter {
        status: query.status.as_deref().map(status).transpose()?,
    };
    let found = campaigns::list(&ctx, state.engine.store(), &filter, page).await?;
    let items: Result<_> = found.items.into_iter().map(summary).collect();
    Ok(Json(List::new(items?, found.total, page)))
}

fn status(text: &str) -> Result<CampaignStatus> {
    text.parse().map_err(|_| {
        let known = <CampaignStatus as VariantNames>::VARIANTS.join(", ");
        Problem::field("wrong_type", "status", format!("must be one of {known}"))
    })
}
