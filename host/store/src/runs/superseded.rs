use std::collections::{BTreeSet, HashSet};

use sqlx::{AssertSqlSafe, Row as _};
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey},
};
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    blob::find_slot,
    database::Tx,
    error::{failed, internal},
    rows::{RowExt as _, row_error},
    sql::literals,
};

const READ: &str = "read newer campaigns";

/// A newer campaign with one of these statuses supersedes older ones.
const SUPERSEDING: [CampaignStatus; 4] = [
    CampaignStatus::InProgress,
    CampaignStatus::Paused,
    CampaignStatus::Held,
    CampaignStatus::Completed,
];

/// The devices that are in a wave of a newer campaign on the same feed. Newer campaigns that were cancelled, failed
/// or rolled back do not count.
pub(super) async fn superseded(
    tx: &mut Tx,
    run: RunRef,
    feed: &str,
    devices: &BTreeSet<DeviceKey>,
) -> Result<HashSet<DeviceKey>, StoreError> {
    let mut superseded = HashSet::new();
    for campaign in newer(tx, run, feed).await? {
        add_members(tx, run, campaign, devices, &mut superseded).await?;
    }
    Ok(superseded)
}

async fn newer(tx: &mut Tx, run: RunRef, feed: &str) -> Result<Vec<CampaignId>, StoreError> {
    let sql = format!(
        "SELECT c.id FROM campaigns c \
         JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.id \
         JOIN campaign_runs mine ON mine.tenant_id = c.tenant_id AND mine.campaign_id = $2 \
         WHERE c.tenant_id = $1 AND c.feed = $3 AND c.id <> $2 \
         AND (r.started_at > mine.started_at OR (r.started_at = mine.started_at AND c.id > $2)) \
         AND r.status IN ({})",
        literals(SUPERSEDING)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(feed.to_owned())
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| row.take("id").map(CampaignId))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

/// Selected devices are stored in packed chunks, ordered by key: search each chunk for the devices in its key range.
async fn add_members(
    tx: &mut Tx,
    run: RunRef,
    campaign: CampaignId,
    devices: &BTreeSet<DeviceKey>,
    members: &mut HashSet<DeviceKey>,
) -> Result<(), StoreError> {
    let Some(last) = devices.last() else {
        return Ok(());
    };
    let rows = sqlx::query(
        "SELECT first_device_key, slots FROM campaign_devices \
         WHERE tenant_id = $1 AND campaign_id = $2 AND first_device_key <= $3 ORDER BY first_device_key DESC",
    )
    .bind(run.tenant.0)
    .bind(campaign.0)
    .bind(last.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let mut until = DeviceKey(i64::MAX);
    for row in &rows {
        let first = row.take("first_device_key").map(DeviceKey);
        let first = first.map_err(row_error(READ))?;
        let blob: &[u8] = row.try_get("slots").map_err(failed(READ))?;
        for key in devices.range(first..until) {
            let slot = find_slot(blob, *key).map_err(|error| internal(READ)(Box::new(error)))?;
            if slot.is_some_and(|slot| slot.wave.is_some()) {
                members.insert(*key);
            }
        }
        until = first;
    }
    Ok(())
}
