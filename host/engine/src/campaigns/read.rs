use tidegate_core::{campaign::Campaign, id::CampaignId};

use crate::{
    Engine, Error, Result,
    ports::{CampaignFilter, Page, PageRequest, UpdateFilter, UpdateRow, Wave},
    tenants::Actor,
};

/// The campaign of this id.
pub async fn get(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Campaign> {
    let campaign = engine.store().campaign(actor.tenant, id).await?;
    campaign.ok_or_else(|| Error::not_found("campaign", id))
}

/// A page of the campaigns, newest first.
pub async fn list(
    engine: &Engine,
    actor: &Actor,
    filter: &CampaignFilter,
    page: PageRequest,
) -> Result<Page<Campaign>> {
    Ok(engine
        .store()
        .list_campaigns(actor.tenant, filter, page)
        .await?)
}

/// The campaign's waves, in order. Empty before the start.
pub async fn waves(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Vec<Wave>> {
    get(engine, actor, id).await?;
    Ok(engine.store().waves(actor.tenant, id).await?)
}

/// A page of the campaign's updates, newest first.
pub async fn updates(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    get(engine, actor, id).await?;
    let filter = UpdateFilter {
        campaign: Some(id),
        device: None,
    };
    Ok(engine
        .store()
        .list_updates(actor.tenant, &filter, page)
        .await?)
}
