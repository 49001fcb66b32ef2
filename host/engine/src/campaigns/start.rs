use tidegate_core::{
    campaign::{Campaign, Transition},
    id::CampaignId,
};

use super::{
    commands::{MAX_ATTEMPTS, changed_meanwhile},
    journal_entry::host_journal_entry,
    journal_size::unrecordable_start,
    prepare::prepare,
};
use crate::{
    Authorized, Caches, Ctx, Error, Operator, PluginCalls, Result, Signals,
    ports::{NewJournalEntry, RunRef, Store},
    tenants,
};

/// Starts a campaign: selects its devices, calls the compatibility policies and the strategy's plan, and fixes the
/// waves. The next tick releases the first wave. The plugin calls are recorded, also if the campaign cannot start.
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
    if let Some(message) = unrecordable_start(plugins.journal(), &campaign) {
        return Err(Error::conflict("journal_full", message));
    }
    let (tenant, mut journal) = (campaign.tenant, Vec::new());
    let run = RunRef {
        tenant,
        campaign: id,
    };
    let prepared = prepare(store, caches, plugins, &campaign, ctx.now, &mut journal).await;
    let campaign_start = match prepared {
        Ok(campaign_start) => campaign_start,
        Err(error) => {
            let has_called = journal.iter().any(|entry| entry.plugin.is_some());
            if !has_called && !is_of_campaign(&error) {
                return Err(error);
            }
            // Without a call there is nothing to replay.
            let journal = if has_called { journal } else { Vec::new() };
            if !record_failure(ctx, store, &campaign, journal, &error).await? {
                return Ok(None);
            }
            signals.notify_watchers(run);
            return Err(if has_called {
                with_note_on_journal(error)
            } else {
                error
            });
        }
    };
    let started = campaign_start.apply_to(campaign.clone());
    if !store.start_campaign(ctx, &campaign, campaign_start).await? {
        return Ok(None);
    }
    signals.wake_campaign(run);
    Ok(Some(started))
}

/// Whether the start would fail again, as long as neither the campaign nor the devices change.
fn is_of_campaign(error: &Error) -> bool {
    matches!(error, Error::Conflict { .. } | Error::Invalid { .. })
}

/// Keeps the plugin calls of a start that failed, and why it failed. False: the campaign changed meanwhile, so that they may
/// be of revisions that it does not keep.
async fn record_failure(
    ctx: &Ctx,
    store: &dyn Store,
    campaign: &Campaign,
    mut journal: Vec<NewJournalEntry>,
    error: &Error,
) -> Result<bool> {
    for entry in &mut journal {
        entry.applied = false;
    }
    let reason = format!("{} could not start the campaign: {error}", ctx.actor.name);
    let mut explain = vec![reason.clone()];
    if journal.is_empty() {
        explain.push("Correct what this names, then start the campaign again.".to_owned());
    } else {
        let advice = "Correct what this names, such as a config or a revision, then start the campaign again. The plugin calls of \
                      this start are in the campaign's journal.";
        explain.push(advice.to_owned());
        journal.push(host_journal_entry(ctx.now, "not_started", reason));
    }
    let recorded = store.record_failed_start(ctx.tenant, campaign, journal, explain);
    Ok(recorded.await?)
}

fn with_note_on_journal(mut error: Error) -> Error {
    if let Error::Conflict { message, .. } | Error::Unavailable { message, .. } = &mut error {
        message.push_str(" (the plugin calls are in the campaign's journal)");
    }
    error
}
