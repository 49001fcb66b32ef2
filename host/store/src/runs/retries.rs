use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{Purpose, PurposeName, UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{AffectedDevice, Fence, RunRef, StoreError};

use super::{cancel::update_and_device, commit::commit, lease::lock_if_fenced};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::row_error,
    sql::literal,
    tenant_counters::TenantCounters,
    updates::unit_of_work::UpdateUnitOfWork,
};

const OFFER: &str = "offer retries";

/// Offers up to `limit` due retries of the campaign's waves, the longest overdue first; cancels those of pinned devices.
/// Does nothing under a lost fence, or if the campaign is not in progress.
pub(crate) async fn offer_due_retries(
    database: &Database,
    run: RunRef,
    fence: Fence,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<AffectedDevice>, StoreError> {
    // Usually none is due: check without the write lock.
    if due_retries(&mut database.read_single().await?, run, now, 1)
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let mut tx = database.write().await?;
    let run_row = lock_if_fenced(&mut tx, run, fence).await?;
    if run_row.is_none_or(|run_row| run_row.status() != CampaignStatus::InProgress) {
        return Ok(Vec::new());
    }
    let due = due_retries(&mut tx, run, now, limit).await?;
    let devices: BTreeSet<DeviceKey> = due.values().copied().collect();
    let updates: BTreeSet<UpdateId> = due.keys().copied().collect();
    let mut work = UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &updates, now).await?;
    let mut tenant_counters = TenantCounters::default();
    for (id, device) in due {
        let is_pinned = work.device(device).is_some_and(|device| device.pinned);
        let event = if is_pinned {
            UpdateEvent::CancelRequested
        } else {
            UpdateEvent::DeadlinePassed
        };
        let is_covered = work.is_covered(id);
        // It may have been postponed. Its device was locked after it was read.
        let Some(loaded) = work.loaded_mut(id) else {
            continue;
        };
        if loaded.update.state.status == UpdateStatus::Scheduled {
            loaded.update.state.timeout_at = now;
            // Policies are asked first about a changed device; until then its retry stays due.
            if is_pinned || is_covered {
                apply_to_retry(&mut work, id, &event, now, &mut tenant_counters);
            }
        }
    }
    commit(tx, run, work, tenant_counters, devices).await
}

/// Applies the event that ends the wait of a retry; returns whether it changed.
pub(super) fn apply_to_retry(
    work: &mut UpdateUnitOfWork,
    id: UpdateId,
    event: &UpdateEvent,
    now: Timestamp,
    tenant_counters: &mut TenantCounters,
) -> bool {
    let changed = work
        .apply_event(id, event, now, tenant_counters)
        .unwrap_or(false);
    let device = work.loaded(id).map(|loaded| loaded.update.device);
    let device = device.and_then(|device| work.device(device));
    if device.is_some_and(|device| device.auto_confirms) {
        // Without confirmation, or after a cancellation, this does nothing.
        let _ = work.apply_event(id, &UpdateEvent::AutoConfirmed, now, tenant_counters);
    }
    changed
}

/// Postpones a retry by a quarter of the time that it has waited, between one and ten minutes: retries of a campaign
/// that is paused for days cost little and start soon after it resumes.
pub(super) fn postpone_retry(work: &mut UpdateUnitOfWork, id: UpdateId, now: Timestamp) -> bool {
    const MIN_DELAY: Duration = Duration::from_mins(1);
    const MAX_DELAY: Duration = Duration::from_mins(10);
    let Some(loaded) = work.loaded_mut(id) else {
        return false;
    };
    let waited = now.since(loaded.update.offered_at());
    let again_at = now.plus((waited / 4).clamp(MIN_DELAY, MAX_DELAY));
    loaded.update.state.timeout_at = again_at;
    true
}

/// Cancels the scheduled retries that campaigns have for a device that was pinned; returns these campaigns.
pub(crate) async fn cancel_retries_of_pinned_device(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<Vec<CampaignId>, StoreError> {
    let devices = BTreeSet::from([device]);
    let mut work = UpdateUnitOfWork::open(tx, tenant, &devices, &BTreeSet::new(), now).await?;
    let scheduled: Vec<_> = work
        .updates_of(device)
        .filter(|loaded| loaded.update.state.status == UpdateStatus::Scheduled)
        .filter_map(|loaded| match loaded.update.campaign? {
            (campaign, Purpose::Forward { .. }) => Some((loaded.update.id, campaign)),
            (_, Purpose::Rollback) => None,
        })
        .collect();
    if scheduled.is_empty() {
        return Ok(Vec::new());
    }
    let mut tenant_counters = TenantCounters::default();
    for (id, _) in &scheduled {
        // Cannot fail: a scheduled retry can be cancelled.
        let _ = work.apply_event(
            *id,
            &UpdateEvent::CancelRequested,
            now,
            &mut tenant_counters,
        );
    }
    work.write(tx, &mut tenant_counters).await?;
    tenant_counters.write(tx).await?;
    Ok(scheduled
        .into_iter()
        .map(|(_, campaign)| campaign)
        .collect())
}

/// Due retries of the campaign's waves with their devices, and the other scheduled updates, whose device changed: they are
/// due at once, and come first.
async fn due_retries(
    tx: &mut Tx,
    run: RunRef,
    now: Timestamp,
    limit: u32,
) -> Result<BTreeMap<UpdateId, DeviceKey>, StoreError> {
    // Two statements, because no index has the rows of both in order.
    const OF_CHANGED_DEVICES: &str = "scheduled_at IS NULL AND created_at <= $3";
    const DUE: &str = "scheduled_at <= $3";
    let mut due = BTreeMap::new();
    for condition in [OF_CHANGED_DEVICES, DUE] {
        let limit = i64::from(limit) - due.len() as i64;
        if limit <= 0 {
            break;
        }
        let sql = format!(
            "SELECT id, device_key FROM updates WHERE tenant_id = $1 AND campaign_id = $2 AND status = {} AND purpose = {} \
             AND {condition} ORDER BY scheduled_at, id LIMIT $4",
            literal(UpdateStatus::Scheduled),
            literal(PurposeName::Forward)
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .bind(now.0)
            .bind(limit)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(OFFER))?;
        for row in &rows {
            let (id, device) = update_and_device(row).map_err(row_error(OFFER))?;
            due.insert(id, device);
        }
    }
    Ok(due)
}
