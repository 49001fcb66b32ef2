use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    campaign::{CampaignStatus, RetryAction, retry_action},
    id::{DeviceKey, TenantId, UpdateId},
    reporting_clock::ReportingClock,
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::{
    chain,
    ports::{AffectedDevice, StoreError},
};
use tokio::time::Instant;

use super::{
    cancel::update_and_device,
    retries::{apply_to_retry, postpone_retry},
};
use crate::{
    database::{Database, LockWait, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
    updates::unit_of_work::{UpdateUnitOfWork, notify_affected_devices},
};

const EXPIRE: &str = "end overdue updates";
/// How long a round may take in which rows are locked.
const LOCKED_ROUND_LIMIT: Duration = Duration::from_secs(20);

/// Ends up to `limit` open updates of all tenants whose deadline passed, and offers retries whose time has come.
pub(crate) async fn expire(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let clock = database.known_clock();
    // Usually there are none: check without the write lock.
    if due_updates(&mut database.read_single().await?, clock, now, 1)
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    match expire_together(database, clock, now, limit).await {
        Err(StoreError::Internal { .. } | StoreError::Locked(_)) => {
            expire_each(database, clock, now, limit).await
        }
        result => result,
    }
}

async fn expire_together(
    database: &Database,
    clock: ReportingClock,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let mut tx = database.write().await?;
    let due = due_updates(&mut tx, clock, now, limit).await?;
    end(tx, due, now).await
}

/// Ends each update in a transaction of its own. One that fails, or whose row is locked, stays due, and stops no other.
async fn expire_each(
    database: &Database,
    clock: ReportingClock,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let due = due_updates(&mut database.read_single().await?, clock, now, limit).await?;
    let due = due
        .into_iter()
        .flat_map(|(tenant, due)| due.into_iter().map(move |update| (tenant, update)));
    let mut affected = Vec::new();
    let started = Instant::now();
    for (tenant, due) in due {
        if started.elapsed() >= LOCKED_ROUND_LIMIT {
            break;
        }
        let update = due.id;
        let tx = database.write_by_key(LockWait::Short).await?;
        match end(tx, BTreeMap::from([(tenant, vec![due])]), now).await {
            Ok(ended) => affected.extend(ended),
            Err(error @ (StoreError::Internal { .. } | StoreError::Locked(_))) => {
                tracing::warn!(error = %chain(&error), %tenant, %update, "overdue update not ended; retrying");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(affected)
}

async fn end(
    mut tx: Tx,
    due: BTreeMap<TenantId, Vec<DueUpdate>>,
    now: Timestamp,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let mut tenant_counters = TenantCounters::default();
    let mut affected = Vec::new();
    for (tenant, due) in due {
        let devices: BTreeSet<DeviceKey> = due.iter().map(|update| update.device).collect();
        let updates: BTreeSet<UpdateId> = due.iter().map(|update| update.id).collect();
        let mut work = UpdateUnitOfWork::open(&mut tx, tenant, &devices, &updates, now).await?;
        for update in due {
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
    update: &DueUpdate,
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
    let is_pinned = work
        .device(update.device)
        .is_some_and(|device| device.pinned);
    let event = match retry_action(
        update.campaign_status.zip(purpose),
        is_pinned,
        update.is_limited,
    ) {
        RetryAction::Wait => return postpone_retry(work, update.id, now),
        RetryAction::AwaitPlace => {
            work.wake_campaign(update.id);
            return postpone_retry(work, update.id, now);
        }
        RetryAction::Cancel => UpdateEvent::CancelRequested,
        // Policies are asked first; until then it stays due.
        RetryAction::Offer if !work.is_covered(update.id) => return false,
        RetryAction::Offer => UpdateEvent::DeadlinePassed,
    };
    apply_to_retry(work, update.id, &event, now, tenant_counters)
}

/// An update whose deadline passed.
struct DueUpdate {
    id: UpdateId,
    device: DeviceKey,
    /// The status of its campaign, if it has one.
    campaign_status: Option<CampaignStatus>,
    /// Whether its campaign has a maximum of concurrent updates.
    is_limited: bool,
}

/// Updates whose deadline passed, in the time of the reporting clock.
const PAST_DEADLINE: &str = "u.waits_since IS NULL AND u.status <> 'scheduled'";
/// Retries whose time has come.
const DUE_RETRIES: &str = "u.status = 'scheduled'";

/// Updates whose deadline passed and retries that are due, up to `limit` of each, the longest overdue first, by tenant.
async fn due_updates(
    tx: &mut Tx,
    clock: ReportingClock,
    now: Timestamp,
    limit: u32,
) -> Result<BTreeMap<TenantId, Vec<DueUpdate>>, StoreError> {
    let mut by_tenant: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
    if clock.runs(now) {
        let until = now.0.saturating_sub(tx.stopped_ms());
        add_due(tx, PAST_DEADLINE, until, limit, &mut by_tenant).await?;
    }
    add_due(tx, DUE_RETRIES, now.0, limit, &mut by_tenant).await?;
    Ok(by_tenant)
}

async fn add_due(
    tx: &mut Tx,
    condition: &'static str,
    until: i64,
    limit: u32,
    by_tenant: &mut BTreeMap<TenantId, Vec<DueUpdate>>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT u.tenant_id, u.id, u.device_key, r.status AS campaign_status, c.max_concurrent_updates FROM updates u \
         LEFT JOIN campaign_runs r ON r.tenant_id = u.tenant_id AND r.campaign_id = u.campaign_id \
         LEFT JOIN campaigns c ON c.tenant_id = u.tenant_id AND c.id = u.campaign_id \
         WHERE u.completed_at IS NULL AND {condition} AND u.timeout_at <= $1 ORDER BY u.timeout_at LIMIT $2"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(until)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(EXPIRE))?;
    for row in &rows {
        let read = || {
            let (id, device) = update_and_device(row)?;
            let due = DueUpdate {
                id,
                device,
                campaign_status: row.parse_optional("campaign_status")?,
                is_limited: row.take::<Option<i64>>("max_concurrent_updates")?.is_some(),
            };
            Ok::<_, RowError>((TenantId(row.take("tenant_id")?), due))
        };
        match read().map_err(row_error(EXPIRE)) {
            Ok((tenant, due)) => by_tenant.entry(tenant).or_default().push(due),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "overdue update not read; retrying");
            }
        }
    }
    Ok(())
}
