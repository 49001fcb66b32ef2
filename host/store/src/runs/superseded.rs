use std::collections::{BTreeSet, HashSet};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey},
};
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    campaigns::{late_devices::late_devices, membership::slots},
    database::Tx,
    error::failed,
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

/// Adds those of the devices that are in a wave of the campaign.
async fn add_members(
    tx: &mut Tx,
    run: RunRef,
    campaign: CampaignId,
    devices: &BTreeSet<DeviceKey>,
    members: &mut HashSet<DeviceKey>,
) -> Result<(), StoreError> {
    let run = RunRef { campaign, ..run };
    let slots = slots(tx, run, devices).await?;
    let of_start = slots.iter().filter(|slot| slot.wave.is_some());
    members.extend(of_start.map(|slot| slot.key));
    let late = late_devices(tx, run, devices).await?;
    let joined = late.iter().filter(|(_, late)| late.position.is_some());
    members.extend(joined.map(|(key, _)| *key));
    Ok(())
}
