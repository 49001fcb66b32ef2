use tidegate_core::{campaign::Campaign, id::CampaignId, time::Timestamp, update::UpdateStatus};

use crate::{
    Ctx, Error, Result,
    compatibility::compatibility_policies,
    ports::{
        CampaignDetail, CampaignFilter, CampaignSummary, Page, PageRequest, Store, UpdateFilter,
        UpdateRow, Wave,
    },
};

/// The campaign of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, id: CampaignId) -> Result<Campaign> {
    let campaign = store.campaign(ctx.tenant, id).await?;
    campaign.ok_or_else(|| Error::not_found("campaign", id))
}

/// The campaign of this id with its waves, from one snapshot: its status and its counters are of the same moment.
pub async fn detail(ctx: &Ctx, store: &dyn Store, id: CampaignId) -> Result<CampaignDetail> {
    let detail = store.campaign_detail(ctx.tenant, id).await?;
    detail.ok_or_else(|| Error::not_found("campaign", id))
}

/// A page of the campaigns, newest first.
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    filter: &CampaignFilter,
    page: PageRequest,
) -> Result<Page<CampaignSummary>> {
    Ok(store.list_campaigns(ctx.tenant, filter, page).await?)
}

/// The campaign's waves, in order. Empty before the start.
pub async fn waves(ctx: &Ctx, store: &dyn Store, id: CampaignId) -> Result<Vec<Wave>> {
    get(ctx, store, id).await?;
    Ok(store.waves(ctx.tenant, id).await?)
}

/// The waves of a campaign that was read, in order. Empty before the start.
pub async fn waves_of(ctx: &Ctx, store: &dyn Store, campaign: &Campaign) -> Result<Vec<Wave>> {
    if campaign.started_at.is_none() {
        return Ok(Vec::new());
    }
    Ok(store.waves(ctx.tenant, campaign.id).await?)
}

/// When the campaign's counters last changed. `None`: never, or the campaign does not exist.
pub async fn last_progress_at(
    ctx: &Ctx,
    store: &dyn Store,
    id: CampaignId,
) -> Result<Option<Timestamp>> {
    Ok(store.last_progress_at(ctx.tenant, id).await?)
}

/// A page of the campaign's updates, newest first.
pub async fn updates(
    ctx: &Ctx,
    store: &dyn Store,
    id: CampaignId,
    status: Option<UpdateStatus>,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    get(ctx, store, id).await?;
    let filter = UpdateFilter {
        campaign: Some(id),
        device: None,
        status,
    };
    Ok(store.list_updates(ctx.tenant, &filter, page).await?)
}

/// The risks that a campaign takes.
pub fn warnings(campaign: &Campaign) -> Vec<String> {
    let is_checked = !compatibility_policies(campaign).is_empty();
    let message = "no compatibility policy is used: devices get the firmware whatever their hardware and version";
    (!is_checked)
        .then(|| message.to_owned())
        .into_iter()
        .collect()
}
