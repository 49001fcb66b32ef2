use tidegate_core::{
    campaign::{Campaign, Step},
    id::CampaignId,
};

use super::{prepare::prepare, steps::changed_meanwhile};
use crate::{
    Engine, Error, Result,
    ports::{Role, RunRef},
    tenants::Actor,
};

/// Starts a campaign: its devices are selected, the compatibility policies and the strategy's plan are asked, and the
/// waves are fixed. The first wave opens at the next tick.
pub async fn start(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    let campaign = super::get(engine, actor, id).await?;
    campaign.status.after(Step::Start)?;
    if campaign.spec.requires_approval && campaign.approval.is_none() {
        let message = "the campaign needs the approval of somebody else than its maker first";
        return Err(Error::conflict("not_approved", message));
    }
    let beginning = prepare(engine, &campaign).await?;
    let tenant = campaign.tenant;
    if !engine
        .store()
        .begin_campaign(tenant, id, campaign.generation, beginning)
        .await?
    {
        return Err(changed_meanwhile());
    }
    engine.signals.campaign_moved(RunRef {
        tenant,
        campaign: id,
    });
    super::get(engine, actor, id).await
}
