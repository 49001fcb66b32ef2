use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{DeviceKey, UpdateId},
    time::Timestamp,
    update::Event,
};
use tidegate_engine::ports::{Fence, RunRef, StoreError, Touched};

use super::lease::under;
use crate::{
    database::Database,
    error::failed,
    rows::{BadRow, Columns as _, bad_row},
    tallies::Tallies,
    updates::ledger::{Ledger, announce_touched},
};

const CALL_BACK: &str = "call back updates";

/// Calls back up to `limit` open updates of the campaign's waves, each once: a device that does not agree goes on.
/// Under a lost fence it does nothing.
pub(super) async fn call_back(
    database: &Database,
    run: RunRef,
    fence: Fence,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Touched>, StoreError> {
    let mut tx = database.write().await?;
    if under(&mut tx, run, fence).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT id, device_id FROM updates WHERE tenant_id = $1 AND campaign_id = $2 AND completed_at IS NULL \
         AND called_back_at IS NULL AND purpose = 'forward' ORDER BY id LIMIT $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(CALL_BACK))?;
    let found = rows
        .iter()
        .map(ids)
        .collect::<Result<Vec<_>, _>>()
        .map_err(bad_row(CALL_BACK))?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let devices: BTreeSet<DeviceKey> = found.iter().map(|(_, device)| *device).collect();
    let updates: BTreeSet<UpdateId> = found.iter().map(|(id, _)| *id).collect();
    let mut ledger = Ledger::open(&mut tx, run.tenant, &devices, &updates, now).await?;
    let mut tallies = Tallies::default();
    for id in updates {
        // One that came to its end before its device was locked has nothing to call back.
        let _ = ledger.step(id, &Event::CancelRequested, now, &mut tallies);
        if let Some(entry) = ledger.entry_mut(id) {
            entry.called_back_at = Some(now);
        }
    }
    let touched: Vec<_> = devices
        .iter()
        .filter_map(|key| ledger.touched(*key, Some(run.campaign)))
        .collect();
    announce_touched(&mut tx, &touched).await?;
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(touched)
}

/// An update and its device.
pub(super) fn ids(row: &AnyRow) -> Result<(UpdateId, DeviceKey), BadRow> {
    Ok((UpdateId(row.take("id")?), DeviceKey(row.take("device_id")?)))
}
