use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Advance, Fence, RunRef, StoreError, TickOutcome};

use super::lease::lock_if_fenced;
use crate::{
    blob::pack_states,
    campaigns::{CampaignRunRow, lock_counters, write_advance},
    database::{Database, LockWait, Tx},
    error::failed,
    rows::{RowExt as _, row_error, to_i64},
    tenant_counters::TenantCounters,
};

/// Applies the outcome of a tick if the campaign is still at this generation and under this fence; otherwise does
/// nothing and returns false.
pub(crate) async fn apply(
    database: &Database,
    run: RunRef,
    fence: Fence,
    applied: TickOutcome,
) -> Result<bool, StoreError> {
    let mut tx = database.write_by_key(LockWait::Normal).await?;
    let Some(mut run_row) = lock_if_fenced(&mut tx, run, fence).await? else {
        return Ok(false);
    };
    if run_row.generation != applied.generation {
        return Ok(false);
    }
    if is_change(&run_row, &applied) {
        run_row.generation += 1;
    }
    apply_to_row(&mut run_row, &applied)?;
    run_row.append_journal(&mut tx, &applied.journal).await?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    if let Some(levels) = &applied.levels {
        raise_levels(&mut tx, run, levels, applied.at).await?;
    }
    write_advances(&mut tx, run, applied.advances).await?;
    let policies = applied.policy_states.as_deref().map(pack_states);
    write_plugin_states(&mut tx, run, applied.strategy_state, policies).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether the outcome increments the generation. A new wake-up time alone does not: it must not make a concurrent
/// operator command fail.
fn is_change(run_row: &CampaignRunRow, applied: &TickOutcome) -> bool {
    let wakes_only = TickOutcome {
        wake_at: applied.wake_at,
        releases_lease: applied.releases_lease,
        ..TickOutcome::unchanged(applied.generation, applied.at, run_row.plugin_failures)
    };
    *applied != wakes_only
}

fn apply_to_row(run_row: &mut CampaignRunRow, applied: &TickOutcome) -> Result<(), StoreError> {
    run_row.plugin_failures = applied.plugin_failures;
    if let Some(status) = applied.status {
        run_row.set_status(status);
    }
    if let Some(hold) = applied.hold.clone() {
        run_row.set_hold(hold)?;
    }
    if let Some(rollback) = applied.rollback.clone() {
        run_row.set_rollback(rollback)?;
    }
    if let Some(explain) = &applied.explain {
        run_row.set_explanation(explain)?;
    }
    if let Some(awaiting) = applied.awaiting.clone() {
        run_row.set_awaiting(awaiting)?;
    }
    run_row.last_call_at = run_row.last_call_at.max(Some(applied.at));
    run_row.wake_at = applied.wake_at;
    run_row.ended_at = applied.ended_at.or(run_row.ended_at);
    run_row.releases_lease = applied.releases_lease;
    if applied.status.is_some() || applied.levels.is_some() {
        run_row.unchanged_ticks = 0;
    }
    Ok(())
}

/// Raises the levels of waves; a level never decreases.
async fn raise_levels(
    tx: &mut Tx,
    run: RunRef,
    levels: &[u64],
    at: Timestamp,
) -> Result<(), StoreError> {
    const RAISE: &str = "raise the levels of waves";
    let rows = sqlx::query(
        "SELECT wave, released FROM waves WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY wave",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(RAISE))?;
    let released: Result<Vec<u64>, _> = rows.iter().map(|row| row.count("released")).collect();
    let released = released.map_err(row_error(RAISE))?;
    let raised = (0_i64..)
        .zip(levels.iter().zip(released))
        .filter(|(_, (level, released))| *level > released);
    let raised: Vec<_> = raised.map(|(wave, (level, _))| (wave, *level)).collect();
    if raised.is_empty() {
        return Ok(());
    }
    lock_counters(tx, run.tenant, run.campaign).await?;
    for (wave, level) in raised {
        sqlx::query(
            "UPDATE waves SET released = $4, opened_at = COALESCE(opened_at, $5) \
             WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
        )
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(wave)
        .bind(to_i64(level))
        .bind(at.0)
        .execute(tx.conn())
        .await
        .map_err(failed(RAISE))?;
    }
    Ok(())
}

async fn write_advances(
    tx: &mut Tx,
    run: RunRef,
    advances: Vec<(u32, Advance)>,
) -> Result<(), StoreError> {
    if advances.is_empty() {
        return Ok(());
    }
    lock_counters(tx, run.tenant, run.campaign).await?;
    for (wave, advance) in advances {
        write_advance(tx, run.tenant, run.campaign, wave, advance).await?;
    }
    Ok(())
}

/// Writes the new plugin states; none keeps the old state.
async fn write_plugin_states(
    tx: &mut Tx,
    run: RunRef,
    strategy: Option<Vec<u8>>,
    policies: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    if strategy.is_none() && policies.is_none() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE campaign_states SET strategy_state = COALESCE($3, strategy_state), \
         policy_states = COALESCE($4, policy_states) WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(strategy)
    .bind(policies)
    .execute(tx.conn())
    .await
    .map_err(failed("write plugin states"))?;
    Ok(())
}
