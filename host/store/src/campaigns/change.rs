use tidegate_core::{
    campaign::Priority,
    id::{CampaignId, TenantId},
    plugin::{OperatorAct, OperatorActKind},
};
use tidegate_engine::ports::{Change, StoreError};

use super::{standing::Standing, waves::lock_counters};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::number,
    tallies::Tallies,
};

/// Applies a change if the campaign is still at this generation. False: it is not.
pub(super) async fn change(
    database: &Database,
    tenant: TenantId,
    id: CampaignId,
    generation: i64,
    change: Change,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let Some(mut standing) = Standing::lock(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    if standing.generation != generation {
        return Ok(false);
    }
    standing.generation += 1;
    move_on(&mut standing, &change)?;
    let mut tallies = Tallies::default();
    standing.write(&mut tx, &mut tallies).await?;
    if let Some(act) = change.act {
        note_advance(&mut tx, tenant, id, act).await?;
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
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

fn move_on(standing: &mut Standing, change: &Change) -> Result<(), StoreError> {
    if let Some(status) = change.status {
        standing.go(status);
    }
    if let Some(hold) = change.hold.clone() {
        standing.hold(hold)?;
    }
    if let Some(approval) = change.approval.clone() {
        standing.approve(approval)?;
    }
    if let Some(rollback) = change.rollback.clone() {
        standing.roll_back(rollback)?;
    }
    if let Some(explain) = &change.explain {
        standing.explain(explain)?;
    }
    if let Some(act) = change.act {
        standing.act(act);
    }
    standing.ended_at = change.ended_at.or(standing.ended_at);
    standing.wake_at = change.wake_at.or(standing.wake_at);
    Ok(())
}

async fn note_advance(
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
    .map_err(failed("note that a gate was advanced"))?;
    Ok(())
}

/// From here on the failures so far count no more against the ceiling.
async fn accept_failures(tx: &mut Tx, tenant: TenantId, id: CampaignId) -> Result<(), StoreError> {
    lock_counters(tx, tenant, id).await?;
    sqlx::query(
        "UPDATE waves SET accepted = failed + timed_out WHERE tenant_id = $1 AND campaign_id = $2",
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
    .bind(max_concurrent_updates.map(number))
    .execute(tx.conn())
    .await
    .map_err(failed("change the limits of a campaign"))?;
    Ok(())
}
