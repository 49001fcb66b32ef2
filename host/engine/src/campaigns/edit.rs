use tidegate_core::{
    campaign::{Campaign, CampaignStatus, MAX_EDITORS},
    plugin::{PluginKind, PluginName},
};

use super::{
    commands::{changed_meanwhile, invalid_status},
    create::{CampaignRequest, checked_spec, firmware_error},
};
use crate::{
    Authorized, Ctx, Error, Operator, PluginCalls, Result, Signals, plugins,
    ports::{RunRef, Store},
};

/// A conflict if the specification of a campaign cannot be changed any more.
pub fn check_editable(campaign: &Campaign) -> Result<()> {
    if campaign.started_at.is_some() {
        let message = "the campaign has started: only its priority and its limit of concurrent updates can be changed";
        return Err(Error::conflict("campaign_started", message));
    }
    if campaign.status != CampaignStatus::Created {
        return Err(invalid_status("edit", campaign));
    }
    Ok(())
}

/// Whether one of these plugins is a compatibility policy. Unknown ones are none.
pub async fn have_compatibility_policy(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &[PluginName],
) -> Result<bool> {
    if plugins.is_empty() {
        return Ok(false);
    }
    let revisions = plugins::list(ctx, store).await?;
    let mut stored = revisions.iter().map(|revision| &revision.stored);
    Ok(stored.any(|stored| {
        stored.kind == PluginKind::Compatibility && plugins.contains(&stored.description.name)
    }))
}

/// Replaces the specification of a campaign that was read and has not started. It is checked as at creation. A change
/// voids the approval.
pub async fn edit(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    plugins: &PluginCalls,
    signals: &Signals,
    campaign: Campaign,
    request: CampaignRequest,
) -> Result<Campaign> {
    check_editable(&campaign)?;
    let spec = checked_spec(ctx, store, plugins, request).await?;
    if spec == campaign.spec {
        return Ok(campaign);
    }
    if campaign.editors_with(&ctx.actor.name).len() > MAX_EDITORS {
        let message =
            format!("at most {MAX_EDITORS} users can edit a campaign: create another one");
        return Err(Error::conflict("too_many_editors", message));
    }
    let edited = store.edit_campaign(ctx, &campaign, spec).await;
    if !edited.map_err(firmware_error)? {
        return Err(changed_meanwhile());
    }
    signals.notify_watchers(RunRef {
        tenant: ctx.tenant,
        campaign: campaign.id,
    });
    super::get(ctx, store, campaign.id).await
}
