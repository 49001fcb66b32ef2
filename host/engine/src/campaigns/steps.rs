use tidegate_core::{
    campaign::{Campaign, CampaignStatus, FAILURE_CEILING, Priority, Rollback, Step},
    id::CampaignId,
    plugin::{OperatorAct, OperatorActKind, Scope},
};

use crate::{
    Engine, Error, Result,
    ports::{Change, Role, RunRef},
    tenants::Actor,
};

/// How often a step is tried on a campaign that its loop keeps changing.
pub(super) const ATTEMPTS: u32 = 20;
/// The code of a change that came too late.
const CHANGED_MEANWHILE: &str = "changed_meanwhile";

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

/// Goes on after a pause or a hold. Whoever resumes what the failure ceiling held accepts the failures so far: else it
/// would be held again at once.
pub async fn resume(engine: &Engine, actor: &Actor, id: CampaignId) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    steer(engine, actor, id, |campaign| {
        let act = Some(OperatorActKind::Resumed);
        let mut change = stepped(engine, campaign, Step::Resume, act)?;
        let by = campaign.hold.as_ref().map(|hold| hold.by.as_str());
        change.accepts_failures = by == Some(FAILURE_CEILING);
        let accepted = if change.accepts_failures {
            "the failures so far are accepted, the ceiling counts from here"
        } else {
            ""
        };
        note(&mut change, actor, "Resumed", accepted);
        Ok(change)
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
        change.rollback = Some(rollback.clone());
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
    let waves = super::waves(engine, actor, id).await?;
    let waiting = waves.get(usize::try_from(wave).unwrap_or(usize::MAX));
    let is_open = waiting.is_some_and(|wave| wave.report.released > 0);
    let act = OperatorAct {
        at: engine.now(),
        kind: OperatorActKind::Advanced,
        wave: Some(wave),
    };
    steer(engine, actor, id, |campaign| {
        if campaign.status != CampaignStatus::InProgress {
            return Err(cannot("advance", campaign));
        }
        if waiting.is_none() {
            return Err(Error::not_found("wave", wave));
        }
        if is_open {
            return Err(Error::conflict(
                "gate_passed",
                format!("wave {wave} is open already"),
            ));
        }
        Ok(Change {
            act: Some(act),
            ..Change::default()
        })
    })
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
    steer(engine, actor, id, |campaign| {
        if campaign.status.is_final() {
            return Err(cannot("change", campaign));
        }
        Ok(Change {
            priority,
            max_concurrent_updates,
            ..Change::default()
        })
    })
    .await
}

async fn take(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    step: Step,
    act: Option<OperatorActKind>,
    fill: impl Fn(&mut Change),
) -> Result<Campaign> {
    actor.require(Role::Operator)?;
    steer(engine, actor, id, |campaign| {
        let mut wanted = stepped(engine, campaign, step, act)?;
        fill(&mut wanted);
        Ok(wanted)
    })
    .await
}

/// The change that a step is.
fn stepped(
    engine: &Engine,
    campaign: &Campaign,
    step: Step,
    act: Option<OperatorActKind>,
) -> Result<Change> {
    let status = campaign.status.after(step)?;
    let now = engine.now();
    Ok(Change {
        status: Some(status),
        act: act.map(|kind| OperatorAct {
            at: now,
            kind,
            wave: None,
        }),
        ended_at: status.is_final().then_some(now),
        ..Change::default()
    })
}

/// Changes a campaign as `wanted` says for where it stands. The campaign's own loop may change it at the same moment:
/// that must not keep an operator from stopping it, so the campaign is read, and `wanted` asked, again.
pub(super) async fn steer(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    wanted: impl Fn(&Campaign) -> Result<Change>,
) -> Result<Campaign> {
    let mut attempts = 0;
    loop {
        let campaign = super::get(engine, actor, id).await?;
        let changed = change(engine, &campaign, wanted(&campaign)?).await;
        let is_late =
            matches!(&changed, Err(Error::Conflict { code, .. }) if *code == CHANGED_MEANWHILE);
        attempts += 1;
        if !is_late || attempts == ATTEMPTS {
            return changed;
        }
    }
}

fn cannot(verb: &str, campaign: &Campaign) -> Error {
    let status = campaign.status.as_str();
    Error::conflict(
        "invalid_transition",
        format!("cannot {verb} a campaign that is {status}"),
    )
}

/// Applies a change to the campaign as it was read, and has its loop look at it.
async fn change(engine: &Engine, campaign: &Campaign, mut change: Change) -> Result<Campaign> {
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
        CHANGED_MEANWHILE,
        "the campaign changed meanwhile: look at it and try again",
    )
}

fn note(change: &mut Change, actor: &Actor, verb: &str, reason: &str) {
    let colon = if reason.is_empty() { "" } else { ": " };
    change.explain = Some(vec![format!("{verb} by {}{colon}{reason}", actor.user)]);
}
