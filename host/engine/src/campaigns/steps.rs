use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Priority, Rollback, Step},
    id::CampaignId,
    plugin::{OperatorAct, OperatorActKind, Scope},
};

use crate::{
    Engine, Error, Result,
    ports::{Change, Role, RunRef},
    tenants::Actor,
};

/// Stops releasing devices until somebody resumes. What is in flight goes on.
pub async fn pause(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    reason: &str,
) -> Result<Campaign> {
    let act = Some(OperatorActKind::Paused);
    take(engine, actor, id, Step::Pause, act, |change| {
        note(change, actor, "Paused", reason);
    })
    .await
}

/// Goes on after a pause or a hold.
pub async fn resume(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Campaign> {
    let act = Some(OperatorActKind::Resumed);
    take(engine, actor, id, Step::Resume, act, |change| {
        note(change, actor, "Resumed", "");
    })
    .await
}

/// Ends a campaign for good: nothing more is released, and what is in flight is called back.
pub async fn cancel(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    reason: &str,
) -> Result<Campaign> {
    take(engine, actor, id, Step::Cancel, None, |change| {
        note(change, actor, "Cancelled", reason);
    })
    .await
}

/// Sends a campaign back: what is in flight is called back, and with [`Scope::Everything`] what is done gets the
/// firmware that it had before.
pub async fn roll_back(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    scope: Scope,
    reason: &str,
) -> Result<Campaign> {
    let rollback = Rollback {
        scope,
        reason: reason.to_owned(),
        by: actor.user.clone(),
    };
    let fill = |change: &mut Change| {
        note(change, actor, "Rolled back", reason);
        change.rollback = Some(rollback);
    };
    take(engine, actor, id, Step::RollBack, None, fill).await
}

/// An operator's "go on" at the gate before a wave.
pub async fn advance(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    wave: u32,
) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    let campaign = super::get(engine, actor, id).await?;
    if campaign.status != CampaignStatus::InProgress {
        let message = format!(
            "cannot advance a campaign that is {}",
            campaign.status.as_str()
        );
        return Err(Error::conflict("invalid_transition", message));
    }
    let waves = engine.store().waves(actor.tenant, id).await?;
    let Some(waiting) = waves.get(usize::try_from(wave).unwrap_or(usize::MAX)) else {
        return Err(Error::not_found("wave", wave));
    };
    if waiting.report.released > 0 {
        return Err(Error::conflict(
            "gate_passed",
            format!("wave {wave} is open already"),
        ));
    }
    let act = OperatorAct {
        at: engine.now(),
        kind: OperatorActKind::Advanced,
        wave: Some(wave),
    };
    change(
        engine,
        &campaign,
        Change {
            act: Some(act),
            ..Change::default()
        },
    )
    .await
}

/// Changes how urgent a campaign is, and how many of its devices may be in flight.
pub async fn change_limits(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    priority: Option<Priority>,
    max_concurrent_updates: Option<u64>,
) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    if max_concurrent_updates == Some(0) {
        return Err(Error::invalid(
            "invalid_campaign",
            "/max_concurrent_updates",
            "must be at least 1",
        ));
    }
    let campaign = super::get(engine, actor, id).await?;
    if campaign.status.is_final() {
        let message = format!(
            "cannot change a campaign that is {}",
            campaign.status.as_str()
        );
        return Err(Error::conflict("invalid_transition", message));
    }
    change(
        engine,
        &campaign,
        Change {
            priority,
            max_concurrent_updates,
            ..Change::default()
        },
    )
    .await
}

async fn take(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    step: Step,
    act: Option<OperatorActKind>,
    fill: impl FnOnce(&mut Change),
) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    let campaign = super::get(engine, actor, id).await?;
    let status = campaign.status.after(step)?;
    let now = engine.now();
    let mut wanted = Change {
        status: Some(status),
        act: act.map(|kind| OperatorAct {
            at: now,
            kind,
            wave: None,
        }),
        ended_at: status.is_final().then_some(now),
        ..Change::default()
    };
    fill(&mut wanted);
    change(engine, &campaign, wanted).await
}

/// Applies a change to the campaign as it was read, and has its loop look at it.
pub(super) async fn change(
    engine: &Engine,
    campaign: &Campaign,
    mut change: Change,
) -> Result<Campaign> {
    change.wake_at = Some(engine.now());
    let (tenant, id) = (campaign.tenant, campaign.id);
    if !engine
        .store()
        .change_campaign(tenant, id, campaign.generation, change)
        .await?
    {
        return Err(changed_meanwhile());
    }
    engine.signals.campaign_moved(RunRef {
        tenant,
        campaign: id,
    });
    let changed = engine.store().campaign(tenant, id).await?;
    changed.ok_or_else(|| Error::not_found("campaign", id))
}

pub(super) fn changed_meanwhile() -> Error {
    Error::conflict(
        "changed_meanwhile",
        "the campaign changed meanwhile: look at it and try again",
    )
}

fn note(change: &mut Change, actor: &Actor, verb: &str, reason: &str) {
    let colon = if reason.is_empty() { "" } else { ": " };
    change.explain = Some(vec![format!("{verb} by {}{colon}{reason}", actor.user)]);
}
