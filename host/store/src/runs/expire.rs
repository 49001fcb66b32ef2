use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tidegate_core::{
    campaign::{CampaignStatus, RetryAction, retry_action},
    id::{DeviceKey, TenantId, UpdateId},
    reporting_clock::ReportingClock,
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{AffectedDevice, StoreError};

use super::cancel::update_and_device;
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
    updates::unit_of_work::{DeviceRow, UpdateUnitOfWork, notify_affected_devices},
};

const EXPIRE: &str = "end overdue updates";

/// Ends up to `limit` open updates of all tenants whose deadline passed, and offers retries whose time has come.
pub(crate) async fn expire(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let clock = database.known_clock().get();
    // Usually there are none: check without the write lock.
    if overdue(&mut database.read_single().await?, clock, now, 1)
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let mut tx = database.write().await?;
    let mut tenant_counters = TenantCounters::default();
    let mut affected = Vec::new();
    for (tenant, overdue) in overdue(&mut tx, clock, now, limit).await? {
        let devices: BTreeSet<DeviceKey> = overdue.iter().map(|update| update.device).collect();
        let updates: BTreeSet<UpdateId> = overdue.iter().map(|update| update.id).collect();
        let mut work = UpdateUnitOfWork::open(&mut tx, tenant, &devices, &updates, now).await?;
        for update in overdue {
            // Another server may have been faster; then the update has ended and nothing happens.
            if expire_one(&mut work, &update, now, &mut tenant_counters) {
                let campaign = work
                    .loaded(update.id)
                    .and_then(|loaded| loaded.update.campaign);
                affected
                    .extend(work.affected(update.device, campaign.map(|(campaign, _)| campaign)));
            }
        }
        work.write(&mut tx, &mut tenant_counters).await?;
    }
    notify_affected_devices(&mut tx, &affected).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(affected)
}

/// Applies the deadline of an update; returns whether it changed.
fn expire_one(
    work: &mut UpdateUnitOfWork,
    update: &Overdue,
    now: Timestamp,
    tenant_counters: &mut TenantCounters,
) -> bool {
    let Some(loaded) = work.loaded(update.id) else {
        return false;
    };
    if loaded.update.state.status != UpdateStatus::Scheduled {
        return work
            .apply_event(
                update.id,
                &UpdateEvent::DeadlinePassed,
                now,
                tenant_counters,
            )
            .unwrap_or(false);
    }
    let purpose = loaded.update.campaign.map(|(_, purpose)| purpose);
    let device = work.device(update.device);
    let is_pinned = device.is_some_and(|device| device.pinned);
    let auto_confirms = device.is_some_and(|device| device.auto_confirms);
    let event = match retry_action(update.campaign_status.zip(purpose), is_pinned) {
        RetryAction::Wait => return postpone_retry(work, update.id, now),
        RetryAction::Cancel => UpdateEvent::CancelRequested,
        // Policies are asked first; until then it stays due.
        RetryAction::Offer if !is_covered(work, update) => return false,
        RetryAction::Offer => UpdateEvent::DeadlinePassed,
    };
    let changed = work
        .apply_event(update.id, &event, now, tenant_counters)
        .unwrap_or(false);
    if auto_confirms {
        // Without confirmation, or after the cancellation, this does nothing.
        let _ = work.apply_event(update.id, &UpdateEvent::AutoConfirmed, now, tenant_counters);
    }
    changed
}

/// Whether the device may be offered the update without another check of its compatibility.
fn is_covered(work: &UpdateUnitOfWork, update: &Overdue) -> bool {
    let loaded = work.loaded(update.id);
    let basis = loaded.and_then(|loaded| loaded.update.compatibility.as_ref());
    let class = work.device(update.device).map(DeviceRow::class);
    basis.is_none_or(|basis| class.is_some_and(|class| basis.covers(&class)))
}

/// Postpones a retry by a quarter of the time that it has waited, between update and ten minutes: retries of a campaign
/// that is paused for days cost little and start soon after it resumes.
fn postpone_retry(work: &mut UpdateUnitOfWork, id: UpdateId, now: Timestamp) -> bool {
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

/// An update whose deadline passed.
struct Overdue {
    id: UpdateId,
    device: DeviceKey,
    /// The status of its campaign, if it has update.
    campaign_status: Option<CampaignStatus>,
}

/// Updates whose deadline passed, in the time of the reporting clock.
const PAST_DEADLINE: &str = "SELECT u.tenant_id, u.id, u.device_key, r.status AS campaign_status FROM updates u \
     LEFT JOIN campaign_runs r ON r.tenant_id = u.tenant_id AND r.campaign_id = u.campaign_id \
     WHERE u.completed_at IS NULL AND u.waits_since IS NULL AND u.status <> 'scheduled' AND u.timeout_at <= $1 \
     ORDER BY u.timeout_at LIMIT $2";
/// Retries whose time has come.
const DUE_RETRIES: &str = "SELECT u.tenant_id, u.id, u.device_key, r.status AS campaign_status FROM updates u \
     LEFT JOIN campaign_runs r ON r.tenant_id = u.tenant_id AND r.campaign_id = u.campaign_id \
     WHERE u.completed_at IS NULL AND u.status = 'scheduled' AND u.timeout_at <= $1 \
     ORDER BY u.timeout_at LIMIT $2";

/// Updates whose deadline passed and retries that are due, up to `limit` of each, the longest overdue first, by tenant.
async fn overdue(
    tx: &mut Tx,
    clock: ReportingClock,
    now: Timestamp,
    limit: u32,
) -> Result<BTreeMap<TenantId, Vec<Overdue>>, StoreError> {
    let mut by_tenant: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
    if clock.runs(now) {
        let until = now.0.saturating_sub(tx.stopped_ms());
        add_overdue(tx, PAST_DEADLINE, until, limit, &mut by_tenant).await?;
    }
    add_overdue(tx, DUE_RETRIES, now.0, limit, &mut by_tenant).await?;
    Ok(by_tenant)
}

async fn add_overdue(
    tx: &mut Tx,
    sql: &'static str,
    until: i64,
    limit: u32,
    by_tenant: &mut BTreeMap<TenantId, Vec<Overdue>>,
) -> Result<(), StoreError> {
    let rows = sqlx::query(sql)
        .bind(until)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(EXPIRE))?;
    for row in &rows {
        let read = || {
            let (id, device) = update_and_device(row)?;
            let overdue = Overdue {
                id,
                device,
                campaign_status: row.parse_optional("campaign_status")?,
            };
            Ok::<_, RowError>((TenantId(row.take("tenant_id")?), overdue))
        };
        let (tenant, overdue) = read().map_err(row_error(EXPIRE))?;
        by_tenant.entry(tenant).or_default().push(overdue);
    }
    Ok(())
}
