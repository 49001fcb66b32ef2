use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::Event,
};
use tidegate_engine::ports::{StoreError, Touched};

use super::call_back::ids;
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{BadRow, Columns as _, bad_row},
    tallies::Tallies,
    updates::ledger::{Ledger, announce_touched},
};

const EXPIRE: &str = "end overdue updates";

/// Ends up to `limit` open updates of all tenants whose time is up.
pub(super) async fn expire(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Touched>, StoreError> {
    // Most of the time there are none: looking for them takes no writer.
    if overdue(&mut database.once().await?, now, 1)
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let mut tx = database.write().await?;
    let mut tallies = Tallies::default();
    let mut touched = Vec::new();
    for (tenant, overdue) in overdue(&mut tx, now, limit).await? {
        let devices: BTreeSet<DeviceKey> = overdue.iter().map(|(_, device)| *device).collect();
        let updates: BTreeSet<UpdateId> = overdue.iter().map(|(id, _)| *id).collect();
        let mut ledger = Ledger::open(&mut tx, tenant, &devices, &updates, now).await?;
        for (id, device) in overdue {
            // Another host may have been quicker; then it is at its end, and nothing happens.
            if ledger
                .step(id, &Event::DeadlinePassed, now, &mut tallies)
                .unwrap_or(false)
            {
                let campaign = ledger.entry(id).and_then(|entry| entry.update.campaign);
                touched.extend(ledger.touched(device, campaign.map(|(campaign, _)| campaign)));
            }
        }
        ledger.write(&mut tx, &mut tallies).await?;
    }
    announce_touched(&mut tx, &touched).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(touched)
}

/// Open updates whose time is up, the longest overdue first, by tenant.
async fn overdue(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<BTreeMap<TenantId, Vec<(UpdateId, DeviceKey)>>, StoreError> {
    let rows = sqlx::query(
        "SELECT tenant_id, id, device_id FROM updates WHERE completed_at IS NULL AND timeout_at <= $1 \
         ORDER BY timeout_at LIMIT $2",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(EXPIRE))?;
    let mut by_tenant: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
    for row in &rows {
        let read = || Ok::<_, BadRow>((TenantId(row.take("tenant_id")?), ids(row)?));
        let (tenant, ids) = read().map_err(bad_row(EXPIRE))?;
        by_tenant.entry(tenant).or_default().push(ids);
    }
    Ok(by_tenant)
}
