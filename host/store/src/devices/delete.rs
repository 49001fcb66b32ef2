use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    rollback::RollbackAction,
    time::Timestamp,
    update::{Purpose, PurposeName, UpdateEvent},
};
use tidegate_engine::{Ctx, ports::StoreError};

use super::{
    change::{delete_groups, lock_device},
    labels::delete_labels,
};
use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    error::{failed, internal},
    invalidation::notify_devices,
    rows::{RowError, RowExt as _, row_error},
    sql::literal,
    tenant_counters::TenantCounters,
    updates::{approvals, unit_of_work::UpdateUnitOfWork},
};

const DELETE: &str = "delete a device";

/// Deletes a device and its rows, after ending its open updates and removing them from the rollback backlog. Returns
/// the affected campaigns; none if the device does not exist.
pub(crate) async fn delete(
    database: &Database,
    ctx: &Ctx,
    device_id: &str,
    now: Timestamp,
) -> Result<Option<Vec<CampaignId>>, StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let Some(locked) = lock_device(&mut tx, tenant, device_id).await? else {
        return Ok(None);
    };
    let key = locked.key;
    let updates = unfinished_updates(&mut tx, tenant, key).await?;
    let mut tenant_counters = TenantCounters::default();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, tenant, &BTreeSet::from([key]), &updates, now).await?;
    let mut campaigns = BTreeSet::new();
    for id in updates {
        let ended = work.apply_event(id, &UpdateEvent::DeviceGone, now, &mut tenant_counters);
        ended.map_err(|refusal| internal(DELETE)(Box::new(refusal)))?;
        let update = work.loaded(id).and_then(|loaded| loaded.update.campaign);
        if let Some((campaign, purpose)) = update {
            campaigns.insert(campaign);
            if matches!(purpose, Purpose::Forward { .. }) {
                work.mark_rollback_processed(campaign, id, RollbackAction::NotNeeded);
            }
        }
    }
    work.remove_device(key, &mut tenant_counters);
    work.write(&mut tx, &mut tenant_counters).await?;
    let mut before = locked.fields();
    before["groups"] = json!(delete_groups(&mut tx, tenant, key).await?);
    before["labels"] = json!(delete_labels(&mut tx, tenant, key).await?);
    let approvals = approvals::lock_of_device(&mut tx, tenant, key).await?;
    remove(&mut tx, tenant, key).await?;
    approvals::delete_unused(&mut tx, tenant, &approvals).await?;
    notify_devices(&mut tx, tenant, [device_id]).await?;
    tenant_counters.write(&mut tx).await?;
    let entry = AuditEntry::new("device.delete", device_id, before, Value::Null);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(Some(campaigns.into_iter().collect()))
}

/// Updates that are open or that a rollback of their campaign has not processed.
async fn unfinished_updates(
    tx: &mut Tx,
    tenant: TenantId,
    key: DeviceKey,
) -> Result<BTreeSet<UpdateId>, StoreError> {
    let sql = format!(
        "SELECT id FROM updates WHERE tenant_id = $1 AND device_key = $2 \
         AND (completed_at IS NULL OR (rollback_processed_at IS NULL AND purpose = {}))",
        literal(PurposeName::Forward)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(key.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(DELETE))?;
    let id = |row: &AnyRow| -> Result<UpdateId, RowError> { row.take("id").map(UpdateId) };
    rows.iter()
        .map(id)
        .collect::<Result<_, _>>()
        .map_err(row_error(DELETE))
}

/// Foreign keys cascade to the device's rows.
async fn remove(tx: &mut Tx, tenant: TenantId, key: DeviceKey) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM devices WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(key.0)
        .execute(tx.conn())
        .await
        .map_err(failed(DELETE))?;
    Ok(())
}
