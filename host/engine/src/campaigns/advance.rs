use std::time::Duration;

use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignStatus},
    id::CampaignId,
    plugin::{OperatorAct, OperatorActKind},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{sleep, timeout},
};

use super::commands::{
    MAX_ATTEMPTS, change, has_lost_race, invalid_status, invalid_transition, operator_act,
};
use crate::{
    Authorized, Ctx, Error, Operator, Result, Signals,
    ports::{Advance, CampaignChange, Run, RunRef, Store, Wave},
};

/// Error code for a wave that was opened already.
const GATE_PASSED: &str = "gate_passed";
/// How often the database is asked for a decision that another server may have applied.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Lets the next decision of the strategy open a wave, whatever gate is closed. The wave must be the next one.
pub async fn advance(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    wave: u32,
) -> Result<Campaign> {
    request(ctx, store, signals, id, |run| {
        check(run, wave)?;
        let awaited = run.campaign.awaited_gate();
        let gate = awaited.filter(|gate| gate.before == Some(wave));
        Ok(OperatorAct {
            gate: gate.map(|gate| gate.name.clone()),
            wave: Some(wave),
            ..operator_act(ctx, OperatorActKind::Advanced)
        })
    })
    .await
}

/// Tells the next decision of the strategy to go on at the gate of this name, at which the campaign must wait. If a wave
/// is behind the gate, this is the same as advancing to that wave, which is returned.
pub async fn advance_past(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    gate: &str,
) -> Result<Option<u32>> {
    let mut wave = None;
    request(ctx, store, signals, id, |run| {
        check_in_progress(run)?;
        let awaited = run.campaign.awaited_gate();
        let Some(awaited) = awaited.filter(|awaited| awaited.name == gate) else {
            let waits = match awaited {
                Some(other) => format!("it waits at the gate '{}'", other.name),
                None => "it waits at no gate".to_owned(),
            };
            let message = format!("the campaign does not wait at the gate '{gate}': {waits}");
            return Err(Error::conflict("not_awaited", message));
        };
        if let Some(wave) = awaited.before {
            check(run, wave)?;
        }
        wave = awaited.before;
        Ok(OperatorAct {
            gate: Some(awaited.name.clone()),
            wave,
            ..operator_act(ctx, OperatorActKind::Advanced)
        })
    })
    .await?;
    Ok(wave)
}

/// Records an act that the campaign's state allows.
async fn request(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    mut act: impl FnMut(&Run) -> Result<OperatorAct>,
) -> Result<Campaign> {
    let run = RunRef {
        tenant: ctx.tenant,
        campaign: id,
    };
    let mut attempts = 0;
    loop {
        // Campaign and waves from one snapshot: a decision in between must not open the wave unseen.
        let read = store.run(run).await?;
        let read = read.ok_or_else(|| Error::not_found("campaign", id))?;
        let requested = CampaignChange {
            act: Some(act(&read)?),
            ..CampaignChange::default()
        };
        let changed = change(ctx, store, signals, read.campaign, requested).await;
        attempts += 1;
        if !has_lost_race(&changed) || attempts == MAX_ATTEMPTS {
            return changed;
        }
    }
}

/// Waits at most `limit` for a decision that takes the last advance past the gate before this wave into account.
/// `None`: there was none in time.
pub async fn await_advance(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    wave: u32,
    limit: Duration,
) -> Result<Option<Advance>> {
    let mut changes = signals.watch();
    let answered = async {
        loop {
            let waves = store.waves(ctx.tenant, id).await?;
            let advance = usize::try_from(wave)
                .ok()
                .and_then(|wave| waves.into_iter().nth(wave)?.advance);
            if advance.as_ref().is_none_or(|last| last.applied.is_some()) {
                return Ok(advance);
            }
            let run = RunRef {
                tenant: ctx.tenant,
                campaign: id,
            };
            tokio::select! {
                () = changed(&mut changes, run) => {}
                () = sleep(POLL_INTERVAL) => {}
            }
        }
    };
    timeout(limit, answered).await.unwrap_or(Ok(None))
}

/// Returns when the campaign may have changed.
async fn changed(changes: &mut Receiver<RunRef>, run: RunRef) {
    loop {
        match changes.recv().await {
            Ok(other) if other != run => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn check_in_progress(run: &Run) -> Result<()> {
    match run.campaign.status {
        CampaignStatus::InProgress => Ok(()),
        status @ (CampaignStatus::Held | CampaignStatus::Paused) => {
            let status = status.as_str();
            let message = format!(
                "cannot advance a campaign that is {status}: resume it, which also opens the wave behind a gate that held it"
            );
            Err(invalid_transition(message))
        }
        _ => Err(invalid_status("advance", &run.campaign)),
    }
}

/// Checks that the wave is the next one of a campaign in progress.
fn check(run: &Run, index: u32) -> Result<()> {
    check_in_progress(run)?;
    let waves = || (0_u32..).zip(&run.waves);
    let Some((_, wave)) = waves().find(|(at, _)| *at == index) else {
        return Err(Error::not_found("wave", index));
    };
    if wave.report.released > 0 {
        let message = format!("wave {index} is already released");
        return Err(Error::conflict(GATE_PASSED, message));
    }
    if wave.report.size == 0 {
        let message = format!("wave {index} has no devices and is passed without a gate");
        return Err(Error::conflict(GATE_PASSED, message));
    }
    match waves().find(|(_, wave)| is_closed(wave)) {
        Some((next, closed)) if next != index && !run.parallel => {
            let name = &closed.report.name;
            let message =
                format!("wave {index} is not the next one: advance to wave {next} ({name}) first");
            Err(Error::conflict("not_next", message))
        }
        _ => Ok(()),
    }
}

fn is_closed(wave: &Wave) -> bool {
    wave.report.released == 0 && wave.report.size > 0
}

/// What became of the last advance past the gate before a wave, for operators.
pub(super) fn explain_advance(wave: &Wave) -> Vec<String> {
    let Some(advance) = &wave.advance else {
        return Vec::new();
    };
    let name = &wave.report.name;
    let Some(result) = advance_result(name, advance) else {
        let by = &advance.by;
        return vec![format!(
            "{by} advanced the campaign past the gate before wave '{name}'; the next decision takes that into account"
        )];
    };
    std::iter::once(result)
        .chain(advance.explain.iter().cloned())
        .collect()
}

/// What became of an advance. `None`: no decision has taken it into account yet.
pub(super) fn advance_result(wave: &str, advance: &Advance) -> Option<String> {
    let by = &advance.by;
    Some(if advance.applied? {
        format!("{by} advanced the campaign past the gate before wave '{wave}'.")
    } else {
        format!("{by} tried to advance the campaign, but wave '{wave}' did not open.")
    })
}
