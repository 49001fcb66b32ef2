use tidegate_core::{
    Named as _,
    campaign::{Campaign, FAILURE_CEILING, Priority, Rollback, Transition},
    id::CampaignId,
    plugin::{FieldError, OperatorAct, OperatorActKind, RollbackScope},
};

use super::{
    create::{INVALID, check_limit},
    unknown_contracts::MOVE_IT,
};
use crate::{
    Authorized, Ctx, Error, Operator, PluginCalls, Result, Signals,
    ports::{CampaignChange, RunRef, Store},
    rules::Rules,
};

/// Maximum compare-and-set attempts on a campaign that its loop changes concurrently.
pub(super) const MAX_ATTEMPTS: u32 = 20;
/// The code of the conflict when a campaign is not at the expected generation any more.
pub const CHANGED_MEANWHILE: &str = "changed_meanwhile";

/// Stops releasing devices until an operator resumes. Open updates continue.
pub async fn pause(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    reason: &str,
) -> Result<Campaign> {
    let act = Some(OperatorActKind::Paused);
    transition(ctx, store, signals, id, Transition::Pause, act, |change| {
        set_explain(change, ctx, "Paused", reason);
        if let Some(act) = &mut change.act {
            act.reason = (!reason.is_empty()).then(|| reason.to_owned());
        }
    })
    .await
}

/// Resumes after a pause or a hold. After a hold by the failure ceiling, resuming accepts the failures so far;
/// otherwise the campaign would be held again immediately. A campaign whose plugins this server cannot run is left as it
/// is.
pub async fn resume(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    plugins: &PluginCalls,
    signals: &Signals,
    id: CampaignId,
) -> Result<Campaign> {
    let campaign = super::get(ctx, store, id).await?;
    campaign.status.after(Transition::Resume)?;
    for used in campaign.spec.plugins() {
        let revision = store.revision(ctx.tenant, &used.plugin, used.revision);
        if let Some(revision) = revision.await? {
            plugins.require_contract(&revision.stored, MOVE_IT)?;
        }
    }
    apply_command_to(ctx, store, signals, campaign, |campaign| {
        let act = Some(OperatorActKind::Resumed);
        let mut change = transition_change(ctx, campaign, Transition::Resume, act)?;
        let by = campaign.hold.as_ref().map(|hold| hold.by.as_str());
        change.accepts_failures = by == Some(FAILURE_CEILING);
        let accepted = if change.accepts_failures {
            "the failures so far are accepted; the failure ceiling counts later failures only"
        } else {
            ""
        };
        set_explain(&mut change, ctx, "Resumed", accepted);
        Ok(change)
    })
    .await
}

/// Ends a campaign: no more devices are released, and open updates are cancelled.
pub async fn cancel(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    reason: &str,
) -> Result<Campaign> {
    transition(
        ctx,
        store,
        signals,
        id,
        Transition::Cancel,
        None,
        |change| {
            set_explain(change, ctx, "Cancelled", reason);
        },
    )
    .await
}

/// Rolls a campaign back: cancels open updates, and with [`RollbackScope::Everything`] returns updated devices to their
/// previous firmware.
pub async fn roll_back(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    scope: RollbackScope,
    reason: &str,
) -> Result<Campaign> {
    let rollback = Rollback {
        scope,
        reason: reason.to_owned(),
        by: ctx.actor.name.to_string(),
        since: Some(ctx.now),
    };
    let fill = |change: &mut CampaignChange| {
        set_explain(change, ctx, "Rolled back", reason);
        change.rollback = Some(rollback.clone());
    };
    transition(ctx, store, signals, id, Transition::RollBack, None, fill).await
}

/// The errors of a limit of devices in flight.
pub fn limit_errors(max_concurrent_updates: Option<u64>) -> Vec<FieldError> {
    let mut rules = Rules::default();
    check_limit(max_concurrent_updates, &mut rules);
    rules.into_errors()
}

/// Changes the priority of a campaign that was read, and its limit of devices in flight; `Some(None)`: unlimited. With a
/// generation, only while the campaign is at it.
pub async fn change_limits(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    campaign: Campaign,
    priority: Option<Priority>,
    max_concurrent_updates: Option<Option<u64>>,
    generation: Option<i64>,
) -> Result<Campaign> {
    let mut rules = Rules::default();
    check_limit(max_concurrent_updates.flatten(), &mut rules);
    rules.accept(INVALID)?;
    apply_command_to(ctx, store, signals, campaign, |campaign| {
        if campaign.status.is_final() {
            return Err(invalid_status("change", campaign));
        }
        if generation.is_some_and(|generation| generation != campaign.generation) {
            return Err(changed_meanwhile());
        }
        Ok(CampaignChange {
            priority,
            max_concurrent_updates,
            ..CampaignChange::default()
        })
    })
    .await
}

async fn transition(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    step: Transition,
    act: Option<OperatorActKind>,
    fill: impl Fn(&mut CampaignChange),
) -> Result<Campaign> {
    apply_command(ctx, store, signals, id, |campaign| {
        let mut command = transition_change(ctx, campaign, step, act)?;
        fill(&mut command);
        Ok(command)
    })
    .await
}

/// The change for a status transition.
pub(super) fn transition_change(
    ctx: &Ctx,
    campaign: &Campaign,
    step: Transition,
    act: Option<OperatorActKind>,
) -> Result<CampaignChange> {
    let status = campaign.status.after(step)?;
    let now = ctx.now;
    Ok(CampaignChange {
        status: Some(status),
        act: act.map(|kind| operator_act(ctx, kind)),
        ended_at: status.is_final().then_some(now),
        ..CampaignChange::default()
    })
}

/// An act of the caller, without a gate or a reason.
pub(super) fn operator_act(ctx: &Ctx, kind: OperatorActKind) -> OperatorAct {
    OperatorAct {
        at: ctx.now,
        kind,
        gate: None,
        wave: None,
        reason: None,
        role: ctx.role.as_str().to_owned(),
    }
}

/// Applies the change that `command` returns for the current state. The campaign's own loop may change it concurrently;
/// that must not keep an operator from stopping it, so the campaign is read again and `command` is called again.
pub(super) async fn apply_command(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    command: impl Fn(&Campaign) -> Result<CampaignChange>,
) -> Result<Campaign> {
    let campaign = super::get(ctx, store, id).await?;
    apply_command_to(ctx, store, signals, campaign, command).await
}

/// The same for a campaign that was read.
pub(super) async fn apply_command_to(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    mut campaign: Campaign,
    command: impl Fn(&Campaign) -> Result<CampaignChange>,
) -> Result<Campaign> {
    let id = campaign.id;
    let mut attempts = 0;
    loop {
        let requested = command(&campaign)?;
        let changed = change(ctx, store, signals, campaign, requested).await;
        attempts += 1;
        if !has_lost_race(&changed) || attempts == MAX_ATTEMPTS {
            return changed;
        }
        campaign = super::get(ctx, store, id).await?;
    }
}

/// Whether the campaign changed between reading it and changing it.
pub(super) fn has_lost_race(changed: &Result<Campaign>) -> bool {
    matches!(changed, Err(Error::Conflict { code, .. }) if *code == CHANGED_MEANWHILE)
}

pub(super) fn invalid_status(verb: &str, campaign: &Campaign) -> Error {
    let status = campaign.status.as_str();
    invalid_transition(format!("cannot {verb} a campaign that is {status}"))
}

pub(super) fn invalid_transition(message: String) -> Error {
    Error::conflict("invalid_transition", message)
}

/// Applies a change to the campaign as read, and wakes its loop. Returns the changed campaign.
pub(super) async fn change(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    campaign: Campaign,
    mut change: CampaignChange,
) -> Result<Campaign> {
    change.wake_at = Some(ctx.now);
    let (tenant, id) = (campaign.tenant, campaign.id);
    let changed = change.apply_to(campaign.clone());
    if !store.change_campaign(ctx, &campaign, change).await? {
        return Err(changed_meanwhile());
    }
    signals.wake_campaign(RunRef {
        tenant,
        campaign: id,
    });
    Ok(changed)
}

pub(super) fn changed_meanwhile() -> Error {
    Error::conflict(
        CHANGED_MEANWHILE,
        "the campaign changed meanwhile; read it and try again",
    )
}

pub(super) fn set_explain(change: &mut CampaignChange, ctx: &Ctx, verb: &str, reason: &str) {
    let colon = if reason.is_empty() { "" } else { ": " };
    change.explain = Some(vec![format!("{verb} by {}{colon}{reason}", ctx.actor.name)]);
}
