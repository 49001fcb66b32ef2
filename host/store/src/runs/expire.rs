use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tidegate_core::{
    campaign::CampaignStatus,
    id::{DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{Due, Event, UpdateStatus, due},
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

/// Ends up to `limit` open updates of all tenants whose time is up, and puts those to their devices that waited for it.
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
        let devices: BTreeSet<DeviceKey> = overdue.iter().map(|one| one.device).collect();
        let updates: BTreeSet<UpdateId> = overdue.iter().map(|one| one.id).collect();
        let mut ledger = Ledger::open(&mut tx, tenant, &devices, &updates, now).await?;
        for one in overdue {
            // Another host may have been quicker; then it is at its end, and nothing happens.
            if time_is_up(&mut ledger, &one, now, &mut tallies) {
                let campaign = ledger.entry(one.id).and_then(|entry| entry.update.campaign);
                touched.extend(ledger.touched(one.device, campaign.map(|(campaign, _)| campaign)));
            }
        }
        ledger.write(&mut tx, &mut tallies).await?;
    }
    announce_touched(&mut tx, &touched).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(touched)
}

/// What happens to an update when its time is up; whether anything does.
fn time_is_up(ledger: &mut Ledger, one: &Overdue, now: Timestamp, tallies: &mut Tallies) -> bool {
    let Some(entry) = ledger.entry(one.id) else {
        return false;
    };
    if entry.update.progress.status != UpdateStatus::Scheduled {
        return ledger
            .step(one.id, &Event::DeadlinePassed, now, tallies)
            .unwrap_or(false);
    }
    let purpose = entry.update.campaign.map(|(_, purpose)| purpose);
    let device = ledger.device(one.device);
    let is_pinned = device.is_some_and(|device| device.pinned);
    let auto_confirms = device.is_some_and(|device| device.auto_confirms);
    let event = match due(one.campaign_status.zip(purpose), is_pinned) {
        Due::Waits => return wait(ledger, one.id, now),
        Due::Dropped => Event::CancelRequested,
        Due::Offered => Event::DeadlinePassed,
    };
    let moved = ledger.step(one.id, &event, now, tallies).unwrap_or(false);
    if auto_confirms {
        // One that asks nobody, or was dropped, takes no notice.
        let _ = ledger.step(one.id, &Event::AutoConfirmed, now, tallies);
    }
    moved
}

/// Looks at a try again later: the longer it has waited, the later, and never later than in ten minutes, so that those
/// of a campaign that is paused for days cost little and go on soon after it does.
fn wait(ledger: &mut Ledger, id: UpdateId, now: Timestamp) -> bool {
    const SHORTEST: Duration = Duration::from_mins(1);
    const LONGEST: Duration = Duration::from_mins(10);
    let Some(entry) = ledger.entry_mut(id) else {
        return false;
    };
    let waited = now.since(entry.update.offered_at());
    let again_at = now.plus((waited / 4).clamp(SHORTEST, LONGEST));
    entry.update.progress.timeout_at = again_at;
    true
}

/// An update whose time is up.
struct Overdue {
    id: UpdateId,
    device: DeviceKey,
    /// How its campaign stands, if it has one.
    campaign_status: Option<CampaignStatus>,
}

/// Open updates whose time is up, the longest overdue first, by tenant.
async fn overdue(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<BTreeMap<TenantId, Vec<Overdue>>, StoreError> {
    let rows = sqlx::query(
        "SELECT u.tenant_id, u.id, u.device_id, r.status AS campaign_status FROM updates u \
         LEFT JOIN campaign_runs r ON r.tenant_id = u.tenant_id AND r.campaign_id = u.campaign_id \
         WHERE u.completed_at IS NULL AND u.timeout_at <= $1 ORDER BY u.timeout_at LIMIT $2",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(EXPIRE))?;
    let mut by_tenant: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
    for row in &rows {
        let read = || {
            let (id, device) = ids(row)?;
            let overdue = Overdue {
                id,
                device,
                campaign_status: row.word_or_none("campaign_status", CampaignStatus::parse)?,
            };
            Ok::<_, BadRow>((TenantId(row.take("tenant_id")?), overdue))
        };
        let (tenant, overdue) = read().map_err(bad_row(EXPIRE))?;
        by_tenant.entry(tenant).or_default().push(overdue);
    }
    Ok(by_tenant)
}
