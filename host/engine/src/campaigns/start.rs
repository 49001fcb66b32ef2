use tidegate_core::{
    campaign::{Campaign, Transition},
    id::CampaignId,
};

use super::{
    commands::{MAX_ATTEMPTS, changed_meanwhile},
    prepare::prepare,
};
use crate::{
    Authorized, Caches, Ctx, Error, Operator, PluginCalls, Result, Signals,
    ports::{RunRef, Store},
    tenants,
};

/// Starts a campaign: selects its devices, calls the compatibility policies and the strategy's plan, and fixes the
/// waves. The next tick releases the first wave.
pub async fn start(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    plugins: &PluginCalls,
    signals: &Signals,
    id: CampaignId,
) -> Result<Campaign> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(started) = try_start(ctx, store, caches, plugins, signals, id).await? {
            return Ok(started);
        }
    }
    Err(changed_meanwhile())
}

/// Whether the campaign, or its tenant now, requires an approval.
async fn requires_approval(ctx: &Ctx, store: &dyn Store, campaign: &Campaign) -> Result<bool> {
    let of_campaign = campaign.spec.requires_approval;
    Ok(of_campaign || tenants::settings(ctx, store).await?.requires_approval)
}

/// The started campaign. `None`: it changed meanwhile and must be read again.
async fn try_start(
    ctx: &Ctx,
    store: &dyn Store,
    caches: &Caches,
    plugins: &PluginCalls,
    signals: &Signals,
    id: CampaignId,
) -> Result<Option<Campaign>> {
    let campaign = super::get(ctx, store, id).await?;
    campaign.status.after(Transition::Start)?;
    if campaign.approval.is_none() && requires_approval(ctx, store, &campaign).await? {
        let message = "the campaign must be approved by another user first";
        return Err(Error::conflict("not_approved", message));
    }
    let campaign_start = prepare(store, caches, plugins, &campaign, ctx.now).await?;
    let tenant = campaign.tenant;
    let started = campaign_start.apply_to(campaign.clone());
    if !store.start_campaign(ctx, &campaign, campaign_start).await? {
        return Ok(None);
    }
    signals.wake_campaign(RunRef {
        tenant,
        campaign: id,
    });
    Ok(Some(started))
}
