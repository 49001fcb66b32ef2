use std::collections::HashMap;

use sqlx::Row as _;
use tidegate_core::{
    id::{CampaignId, TenantId},
    measurement::Durations,
};
use tidegate_engine::ports::{RollbackProgress, Run, RunRef, StoreError};

use crate::{
    blob::unpack_states,
    campaigns::{CampaignRunRow, campaign, waves},
    database::{Database, Tx},
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error},
    updates::unit_of_work::durations,
};

/// Everything that a tick needs, from one snapshot.
pub(crate) async fn run(database: &Database, run: RunRef) -> Result<Option<Run>, StoreError> {
    let mut tx = database.read_by_key().await?;
    let (tenant, id) = (run.tenant, run.campaign);
    let Some(campaign) = campaign(&mut tx, tenant, id).await? else {
        return Ok(None);
    };
    let Some(run_row) = CampaignRunRow::read(&mut tx, tenant, id).await? else {
        return Ok(None);
    };
    let state = state(&mut tx, tenant, id).await?;
    let (durations, mut wave_durations) = wave_durations(&mut tx, tenant, id).await?;
    let mut waves = waves(&mut tx, tenant, id).await?;
    for (index, wave) in (0..).zip(&mut waves) {
        wave.report.durations = wave_durations.remove(&index).unwrap_or_default();
    }
    Ok(Some(Run {
        campaign,
        waves,
        parallel: run_row.parallel,
        plugin_failures: run_row.plugin_failures,
        unchanged_ticks: run_row.unchanged_ticks,
        acts: run_row.into_acts(),
        durations,
        strategy_state: state.strategy_state,
        policy_states: state.policy_states,
        rollback_progress: state.rollback_progress,
        scheduled_retries: state.scheduled_retries,
        has_skipped_devices_to_check: state.has_skipped_devices_to_check,
    }))
}

/// The durations of all updates, and of those of each wave.
async fn wave_durations(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<(Durations, HashMap<i64, Durations>), StoreError> {
    const READ: &str = "read durations";
    let rows = sqlx::query(
        "SELECT wave, bucket, updates FROM wave_durations WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY bucket",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let mut all: Vec<(i64, u64)> = Vec::new();
    let mut by_wave: HashMap<i64, Vec<(i64, u64)>> = HashMap::new();
    for row in &rows {
        let read = || {
            Ok::<_, RowError>((
                row.take("wave")?,
                row.take("bucket")?,
                row.count("updates")?,
            ))
        };
        let (wave, bucket, updates) = read().map_err(row_error(READ))?;
        all.push((bucket, updates));
        by_wave.entry(wave).or_default().push((bucket, updates));
    }
    let by_wave = by_wave
        .into_iter()
        .map(|(wave, histogram)| (wave, durations(&histogram)));
    Ok((durations(&all), by_wave.collect()))
}

/// What the plugins keep, and what the updates of the campaign count.
struct RunState {
    strategy_state: Vec<u8>,
    policy_states: Vec<Vec<u8>>,
    rollback_progress: RollbackProgress,
    scheduled_retries: u64,
    has_skipped_devices_to_check: bool,
}

async fn state(tx: &mut Tx, tenant: TenantId, id: CampaignId) -> Result<RunState, StoreError> {
    const READ: &str = "read the states and counters of a campaign";
    let row = sqlx::query(
        "SELECT s.strategy_state, s.policy_states, k.open_updates, k.rollback_pending, k.open_rollbacks, k.rolled_back, \
         k.rollback_failed, k.rollback_impossible, k.pinned, k.already_rolling_back, k.awaiting_version, k.scheduled_retries, \
         CAST(CASE WHEN EXISTS (SELECT 1 FROM skipped_devices d WHERE d.tenant_id = $1 AND d.campaign_id = $2 \
         AND d.needs_recheck = 1) THEN 1 ELSE 0 END AS BIGINT) AS has_skipped_devices_to_check \
         FROM campaign_states s \
         JOIN campaign_counters k ON k.tenant_id = s.tenant_id AND k.campaign_id = s.campaign_id \
         WHERE s.tenant_id = $1 AND s.campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let policy_states: &[u8] = row.try_get("policy_states").map_err(failed(READ))?;
    let policy_states =
        unpack_states(policy_states).map_err(|error| internal(READ)(Box::new(error)))?;
    let strategy_state = row.try_get("strategy_state").map_err(failed(READ))?;
    let read = || {
        Ok(RunState {
            strategy_state,
            policy_states,
            rollback_progress: RollbackProgress {
                open_updates: row.count("open_updates")?,
                rollback_pending: row.count("rollback_pending")?,
                open_rollbacks: row.count("open_rollbacks")?,
                rolled_back: row.count("rolled_back")?,
                rollback_failed: row.count("rollback_failed")?,
                rollback_impossible: row.count("rollback_impossible")?,
                pinned: row.count("pinned")?,
                already_rolling_back: row.count("already_rolling_back")?,
                awaiting_version: row.count("awaiting_version")?,
            },
            scheduled_retries: row.count("scheduled_retries")?,
            has_skipped_devices_to_check: row.flag("has_skipped_devices_to_check")?,
        })
    };
    read().map_err(row_error(READ))
}
