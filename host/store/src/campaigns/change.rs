use serde_json::{Value, json};
use tidegate_core::{
    Named as _,
    campaign::Campaign,
    id::{CampaignId, TenantId},
    plugin::{OperatorAct, OperatorActKind},
};
use tidegate_engine::{
    Ctx,
    ports::{Advance, CampaignChange, StoreError},
};

use super::{
    run_row::CampaignRunRow,
    waves::{lock_counters, write_advance},
};
use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    error::failed,
    rows::to_i64,
    tenant_counters::TenantCounters,
};

/// Applies a change if the campaign is still at this generation; otherwise returns false.
pub(crate) async fn change(
    database: &Database,
    ctx: &Ctx,
    campaign: &Campaign,
    change: CampaignChange,
) -> Result<bool, StoreError> {
    let (tenant, id) = (ctx.tenant, campaign.id);
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock_as_read(&mut tx, tenant, campaign).await? else {
        return Ok(false);
    };
    run_row.generation += 1;
    apply_to_row(&mut run_row, &change)?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    if let Some(act) = &change.act {
        record_advance(&mut tx, ctx, id, act).await?;
    }
    if change.accepts_failures {
        accept_failures(&mut tx, tenant, id).await?;
    }
    change_limits(&mut tx, tenant, id, &change).await?;
    tenant_counters.write(&mut tx).await?;
    let (before, after) = fields(campaign, &change);
    let entry = AuditEntry::of_difference(action(&change), id, before, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// What the operator did.
fn action(change: &CampaignChange) -> &'static str {
    match (change.act.as_ref().map(|act| act.kind), change.status) {
        (Some(OperatorActKind::Paused), _) => "campaign.pause",
        (Some(OperatorActKind::Resumed), _) => "campaign.resume",
        (Some(OperatorActKind::Advanced), _) => "campaign.advance",
        _ if change.approval.is_some() => "campaign.approve",
        _ if change.is_rejection => "campaign.reject",
        _ if change.rollback.is_some() => "campaign.roll_back",
        (_, Some(_)) => "campaign.cancel",
        _ => "campaign.change",
    }
}

/// The fields before and after a change, for the audit trail.
fn fields(campaign: &Campaign, change: &CampaignChange) -> (Value, Value) {
    let before = json!({
        "status": campaign.status.as_str(),
        "priority": campaign.spec.priority.as_str(),
        "max_concurrent_updates": campaign.spec.max_concurrent_updates,
        "approved_by": campaign.approval.as_ref().map(|approval| &approval.by),
        "explain": campaign.explain,
        "hold": campaign.hold.as_ref().map(|hold| &hold.reason),
        "accepts_failures": false,
        "advanced_wave": Value::Null,
        "advanced_gate": Value::Null,
    });
    let mut after = before.clone();
    if let Some(status) = change.status {
        after["status"] = status.as_str().into();
        if campaign.status.ends_hold(status) {
            after["hold"] = Value::Null;
        }
    }
    if let Some(hold) = &change.hold {
        after["hold"] = hold.reason.as_str().into();
    }
    if change.accepts_failures {
        after["accepts_failures"] = true.into();
    }
    if let Some(priority) = change.priority {
        after["priority"] = priority.as_str().into();
    }
    if let Some(limit) = change.max_concurrent_updates {
        after["max_concurrent_updates"] = limit.into();
    }
    if let Some(approval) = &change.approval {
        after["approved_by"] = approval.by.as_str().into();
        after["comment"] = approval.comment.as_str().into();
    }
    if let Some(rollback) = &change.rollback {
        after["scope"] = rollback.scope.as_str().into();
        after["reason"] = rollback.reason.as_str().into();
    }
    if let Some(explain) = &change.explain {
        after["explain"] = explain.as_slice().into();
    }
    if let Some(act) = &change.act {
        after["advanced_wave"] = act.wave.into();
        after["advanced_gate"] = act.gate.clone().into();
    }
    (before, after)
}

fn apply_to_row(run_row: &mut CampaignRunRow, change: &CampaignChange) -> Result<(), StoreError> {
    if let Some(status) = change.status {
        run_row.set_status(status);
    }
    if let Some(hold) = change.hold.clone() {
        run_row.set_hold(hold)?;
    }
    if let Some(approval) = change.approval.clone() {
        run_row.set_approval(approval)?;
    }
    if let Some(rollback) = change.rollback.clone() {
        run_row.set_rollback(rollback)?;
    }
    if let Some(explain) = &change.explain {
        run_row.set_explanation(explain)?;
    }
    if let Some(act) = change.act.clone() {
        run_row.push_operator_act(act);
    }
    run_row.ended_at = change.ended_at.or(run_row.ended_at);
    run_row.wake_at = change.wake_at.or(run_row.wake_at);
    run_row.unchanged_ticks = 0;
    Ok(())
}

async fn record_advance(
    tx: &mut Tx,
    ctx: &Ctx,
    id: CampaignId,
    act: &OperatorAct,
) -> Result<(), StoreError> {
    let (OperatorActKind::Advanced, Some(wave)) = (act.kind, act.wave) else {
        return Ok(());
    };
    let advance = Advance {
        by: ctx.actor.name.to_string(),
        at: act.at,
        applied: None,
        explain: Vec::new(),
    };
    write_advance(tx, ctx.tenant, id, wave, advance).await
}

/// Excludes the failures so far from the failure ceiling.
async fn accept_failures(tx: &mut Tx, tenant: TenantId, id: CampaignId) -> Result<(), StoreError> {
    lock_counters(tx, tenant, id).await?;
    sqlx::query(
        "UPDATE waves SET accepted_failures = failed + timed_out WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .execute(tx.conn())
    .await
    .map_err(failed("accept the failures of a campaign"))?;
    Ok(())
}

async fn change_limits(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    change: &CampaignChange,
) -> Result<(), StoreError> {
    let (priority, limit) = (change.priority, change.max_concurrent_updates);
    if priority.is_none() && limit.is_none() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE campaigns SET priority = COALESCE($3, priority), \
         max_concurrent_updates = CASE WHEN $4 = 1 THEN $5 ELSE max_concurrent_updates END \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(priority.map(|priority| priority.as_str()))
    .bind(i32::from(limit.is_some()))
    .bind(limit.flatten().map(to_i64))
    .execute(tx.conn())
    .await
    .map_err(failed("change the limits of a campaign"))?;
    Ok(())
}
