use tidegate_core::{
    campaign::Priority,
    id::{CampaignId, TenantId},
    plugin::{OperatorAct, OperatorActKind},
};
use tidegate_engine::ports::{CampaignChange, StoreError};

use super::{run_row::CampaignRunRow, waves::lock_counters};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::to_i64,
    tenant_counters::TenantCounters,
};

/// Applies a change if the campaign is still at this generation; otherwise returns false.
pub(super) async fn change(
    database: &Database,
    tenant: TenantId,
    id: CampaignId,
    generation: i64,
    change: CampaignChange,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    if run_row.generation != generation {
        return Ok(false);
    }
    run_row.generation += 1;
    apply_to_row(&mut run_row, &change)?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    if let Some(act) = change.act {
        record_advance(&mut tx, tenant, id, act).await?;
    }
    if change.accepts_failures {
        accept_failures(&mut tx, tenant, id).await?;
    }
    change_limits(
        &mut tx,
        tenant,
        id,
        change.priority,
        change.max_concurrent_updates,
    )
    .await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
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
    if let Some(act) = change.act {
        run_row.push_operator_act(act);
    }
    run_row.ended_at = change.ended_at.or(run_row.ended_at);
    run_row.wake_at = change.wake_at.or(run_row.wake_at);
    Ok(())
}

async fn record_advance(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    act: OperatorAct,
) -> Result<(), StoreError> {
    let (OperatorActKind::Advanced, Some(wave)) = (act.kind, act.wave) else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE waves SET advanced_at = $4 WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(i64::from(wave))
    .bind(act.at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("record an advance"))?;
    Ok(())
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
    priority: Option<Priority>,
    max_concurrent_updates: Option<u64>,
) -> Result<(), StoreError> {
    if priority.is_none() && max_concurrent_updates.is_none() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE campaigns SET priority = COALESCE($3, priority), \
         max_concurrent_updates = COALESCE($4, max_concurrent_updates) WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(priority.map(Priority::as_str))
    .bind(max_concurrent_updates.map(to_i64))
    .execute(tx.conn())
    .await
    .map_err(failed("change the limits of a campaign"))?;
    Ok(())
}
