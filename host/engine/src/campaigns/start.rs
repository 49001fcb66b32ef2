use tidegate_core::{
    campaign::{Campaign, Transition},
    id::CampaignId,
};

use super::{
    commands::{MAX_ATTEMPTS, changed_meanwhile},
    prepare::prepare,
};
use crate::{Authorized, Ctx, Engine, Error, Operator, Result, ports::RunRef};

/// Starts a campaign: selects its devices, calls the compatibility policies and the strategy's plan, and fixes the
/// waves. The next tick releases the first wave.
pub async fn start(
    ctx: &Authorized<Operator>,
    engine: &Engine,
    id: CampaignId,
) -> Result<Campaign> {
    let mut attempts = 0;
    while !try_start(ctx, engine, id).await? {
        attempts += 1;
        if attempts == MAX_ATTEMPTS {
            return Err(changed_meanwhile());
        }
    }
    super::get(ctx, engine, id).await
}

/// False: the campaign changed meanwhile and must be read again.
async fn try_start(ctx: &Ctx, engine: &Engine, id: CampaignId) -> Result<bool> {
    let campaign = super::get(ctx, engine, id).await?;
    campaign.status.after(Transition::Start)?;
    if campaign.spec.requires_approval && campaign.approval.is_none() {
        let message = "the campaign must be approved by another user first";
        return Err(Error::conflict("not_approved", message));
    }
    let campaign_start = prepare(engine, &campaign).await?;
    let tenant = campaign.tenant;
    let is_started = engine
        .store()
        .start_campaign(tenant, id, campaign.generation, campaign_start)
        .await?;
    if is_started {
        engine.signals.wake_campaign(RunRef {
            tenant,
            campaign: id,
        });
    }
    Ok(is_started)
}
