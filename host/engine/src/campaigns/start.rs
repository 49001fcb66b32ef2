use tidegate_core::{
    campaign::{Campaign, Step},
    id::CampaignId,
};

use super::{
    prepare::prepare,
    steps::{ATTEMPTS, changed_meanwhile},
};
use crate::{
    Engine, Error, Result,
    ports::{Role, RunRef},
    tenants::Actor,
};

/// Starts a campaign: its devices are selected, the compatibility policies and the strategy's plan are asked, and the
/// waves are fixed. The first wave opens at the next tick.
pub async fn start(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    let mut attempts = 0;
    while !begin(engine, actor, id).await? {
        attempts += 1;
        if attempts == ATTEMPTS {
            return Err(changed_meanwhile());
        }
    }
    super::get(engine, actor, id).await
}

/// False: the campaign changed meanwhile, so that it has to be looked at again.
async fn begin(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<bool> {
    let campaign = super::get(engine, actor, id).await?;
    campaign.status.after(Step::Start)?;
    if campaign.spec.requires_approval && campaign.approval.is_none() {
        let message = "the campaign needs the approval of somebody else than its maker first";
        return Err(Error::conflict("not_approved", message));
    }
    let beginning = prepare(engine, &campaign).await?;
    let tenant = campaign.tenant;
    let begun = engine
        .store()
        .begin_campaign(tenant, id, campaign.generation, beginning)
        .await?;
    if begun {
        engine.signals.campaign_moved(RunRef {
            tenant,
            campaign: id,
        });
    }
    Ok(begun)
}
