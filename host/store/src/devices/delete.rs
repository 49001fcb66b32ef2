use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    rollback::Return,
    time::Timestamp,
    update::{Event, Purpose},
};
use tidegate_engine::ports::StoreError;

use super::change::lock;
use crate::{
    changes::announce,
    database::{Database, Tx},
    error::{failed, internal},
    rows::{BadRow, Columns as _, bad_row},
    tallies::Tallies,
    updates::ledger::Ledger,
};

const DELETE: &str = "delete a device";

/// Deletes a device with everything that belongs to it, after what it has open came to its end and a rollback has
/// nothing left to look at. Answers its campaigns with something to look at; none: there is no such device.
pub(super) async fn delete(
    database: &Database,
    tenant: TenantId,
    device_id: &str,
    now: Timestamp,
) -> Result<Option<Vec<CampaignId>>, StoreError> {
    let mut tx = database.write().await?;
    let Some(key) = lock(&mut tx, tenant, device_id).await? else {
        return Ok(None);
    };
    let updates = unsettled(&mut tx, tenant, key).await?;
    let mut tallies = Tallies::default();
    let mut ledger = Ledger::open(&mut tx, tenant, &BTreeSet::from([key]), &updates, now).await?;
    let mut campaigns = BTreeSet::new();
    for id in updates {
        let settled = ledger.step(id, &Event::DeviceGone, now, &mut tallies);
        settled.map_err(|refusal| internal(DELETE)(Box::new(refusal)))?;
        let update = ledger.entry(id).and_then(|entry| entry.update.campaign);
        if let Some((campaign, purpose)) = update {
            campaigns.insert(campaign);
            if matches!(purpose, Purpose::Forward { .. }) {
                ledger.looked_at(campaign, id, Return::NotNeeded);
            }
        }
    }
    ledger.device_gone(key, &mut tallies);
    ledger.write(&mut tx, &mut tallies).await?;
    remove(&mut tx, tenant, key).await?;
    announce(&mut tx, tenant, [device_id]).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(campaigns.into_iter().collect()))
}

/// Updates that are open, or that a rollback of their campaign would still look at.
async fn unsettled(
    tx: &mut Tx,
    tenant: TenantId,
    key: DeviceKey,
) -> Result<BTreeSet<UpdateId>, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM updates WHERE tenant_id = $1 AND device_id = $2 \
         AND (completed_at IS NULL OR (looked_at IS NULL AND purpose = 'forward'))",
    )
    .bind(tenant.0)
    .bind(key.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(DELETE))?;
    let id = |row: &AnyRow| -> Result<UpdateId, BadRow> { row.take("id").map(UpdateId) };
    rows.iter()
        .map(id)
        .collect::<Result<_, _>>()
        .map_err(bad_row(DELETE))
}

/// The tables take what belongs to it along.
async fn remove(tx: &mut Tx, tenant: TenantId, key: DeviceKey) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM devices WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(key.0)
        .execute(tx.conn())
        .await
        .map_err(failed(DELETE))?;
    Ok(())
}
