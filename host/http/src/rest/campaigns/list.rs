use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{
    Ctx, campaigns,
    ports::{CampaignFilter, PageRequest},
};
use utoipa::IntoParams;

use super::body::{CampaignBody, summary};
use crate::{
    AppState,
    problem::Result,
    rest::{
        enum_field::CampaignStatusField,
        query::{Query, QueryParams, page},
        response::List,
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CampaignsQuery {
    /// Only campaigns with this status.
    #[param(inline)]
    status: Option<CampaignStatusField>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

impl Query for CampaignsQuery {
    type Params = (CampaignFilter, PageRequest);

    fn check(self) -> Result<Self::Params> {
        let filter = CampaignFilter {
            status: self.status.map(|status| status.0),
        };
        Ok((filter, page(self.limit, self.offset)?))
    }
}

/// Lists campaigns, newest first, without their waves.
#[utoipa::path(
    get, path = "/campaigns", tag = "campaigns", params(CampaignsQuery),
    responses((status = 200, description = "A page of campaigns, newest first.", body = List<CampaignBody>)),
)]
pub(crate) async fn list_campaigns(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams((filter, page)): QueryParams<CampaignsQuery>,
) -> Result<Json<List<CampaignBody>>> {
    let found = campaigns::list(&ctx, state.engine.store(), &filter, page).await?;
    let items: Result<_> = found.items.into_iter().map(summary).collect();
    Ok(Json(List::new(items?, found.total, page)))
}
