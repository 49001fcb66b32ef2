use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    id::{DeviceKey, UpdateId},
    time::Timestamp,
    update::{PurposeName, UpdateEvent},
};
use tidegate_engine::ports::{AffectedDevice, Fence, RunRef, StoreError};

use super::{commit::commit, lease::lock_if_fenced};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    sql::literal,
    tenant_counters::TenantCounters,
    updates::unit_of_work::UpdateUnitOfWork,
};

const CANCEL: &str = "cancel updates";

/// Cancels up to `limit` open updates of the campaign's waves. Each is cancelled once: a device may reject the
/// cancellation and continue. Does nothing under a lost fence.
pub(crate) async fn cancel_updates(
    database: &Database,
    run: RunRef,
    fence: Fence,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let mut tx = database.write().await?;
    if lock_if_fenced(&mut tx, run, fence).await?.is_none() {
        return Ok(Vec::new());
    }
    let open = forward_updates(
        &mut tx,
        run,
        "completed_at IS NULL AND cancel_requested_at IS NULL",
        limit,
        CANCEL,
    )
    .await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let devices: BTreeSet<DeviceKey> = open.iter().map(|(_, device)| *device).collect();
    let updates: BTreeSet<UpdateId> = open.iter().map(|(id, _)| *id).collect();
    let mut work = UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &updates, now).await?;
    let mut tenant_counters = TenantCounters::default();
    for id in updates {
        // An update that ended before its device was locked cannot be cancelled.
        let _ = work.apply_event(id, &UpdateEvent::CancelRequested, now, &mut tenant_counters);
        if let Some(loaded) = work.loaded_mut(id) {
            loaded.cancel_requested_at = Some(now);
        }
    }
    commit(tx, run, work, tenant_counters, devices).await
}

/// The first `limit` updates of the campaign's waves that meet the SQL `condition`, with their devices.
pub(super) async fn forward_updates(
    tx: &mut Tx,
    run: RunRef,
    condition: &str,
    limit: u32,
    operation: &'static str,
) -> Result<Vec<(UpdateId, DeviceKey)>, StoreError> {
    let sql = format!(
        "SELECT id, device_key FROM updates WHERE tenant_id = $1 AND campaign_id = $2 AND {condition} \
         AND purpose = {} ORDER BY id LIMIT $3",
        literal(PurposeName::Forward)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(operation))?;
    rows.iter()
        .map(update_and_device)
        .collect::<Result<_, _>>()
        .map_err(row_error(operation))
}

pub(super) fn update_and_device(row: &AnyRow) -> Result<(UpdateId, DeviceKey), RowError> {
    Ok((
        UpdateId(row.take("id")?),
        DeviceKey(row.take("device_key")?),
    ))
}
