use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    Named as _,
    id::{CampaignId, DeviceKey, TenantId},
    mode::{self, SkipReason},
    time::Timestamp,
};
use tidegate_engine::ports::{RunRef, StoreError};

use super::{due, superseded::superseded};
use crate::{
    database::Tx,
    dialect::ColumnType,
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    updates::unit_of_work::DeviceRow,
};

const READ: &str = "read skipped devices";
const WRITE: &str = "write skipped devices";

/// Decides which devices a campaign skips.
pub(super) struct SkipRules {
    feed: Option<String>,
    superseded: HashSet<DeviceKey>,
}

impl SkipRules {
    pub(super) async fn load(
        tx: &mut Tx,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
    ) -> Result<Self, StoreError> {
        let row = sqlx::query("SELECT feed FROM campaigns WHERE tenant_id = $1 AND id = $2")
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .fetch_one(tx.conn())
            .await
            .map_err(failed(READ))?;
        let feed: Option<String> = row.take("feed").map_err(row_error(READ))?;
        let superseded = match &feed {
            Some(feed) => superseded(tx, run, feed, devices).await?,
            None => HashSet::new(),
        };
        Ok(Self { feed, superseded })
    }

    pub(super) fn skip_reason(&self, key: DeviceKey, device: &DeviceRow) -> Option<SkipReason> {
        mode::skip_reason(device.eligibility(), self.feed.as_deref()).or_else(|| {
            let is_superseded = self.superseded.contains(&key);
            is_superseded.then_some(SkipReason::Superseded)
        })
    }
}

/// A row of `skipped_devices`.
#[derive(Debug, Serialize)]
pub(super) struct SkippedDevice {
    device_key: i64,
    wave: u32,
    reason: &'static str,
}

impl SkippedDevice {
    pub(super) fn new(device: DeviceKey, wave: u32, reason: SkipReason) -> Self {
        Self {
            device_key: device.0,
            wave,
            reason: reason.as_str(),
        }
    }
}

const COLUMNS: [(&str, ColumnType); 3] = [
    ("device_key", ColumnType::Int),
    ("wave", ColumnType::Int),
    ("reason", ColumnType::Text),
];

/// Stores the skipped devices; for a device that was skipped before, updates the reason.
pub(super) async fn insert(
    tx: &mut Tx,
    run: RunRef,
    skipped_devices: &[SkippedDevice],
    now: Timestamp,
) -> Result<(), StoreError> {
    if skipped_devices.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO skipped_devices (tenant_id, campaign_id, device_key, wave, reason, at, needs_recheck) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), p.device_key, p.wave, p.reason, CAST($3 AS BIGINT), 0 \
         FROM {} WHERE true \
         ON CONFLICT (tenant_id, campaign_id, device_key) DO UPDATE SET reason = excluded.reason, needs_recheck = 0",
        tx.dialect().json_rows("p", "$4", &COLUMNS)
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(now.0)
        .bind(to_json(&skipped_devices)?)
        .execute(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    Ok(())
}

/// Marks a changed device for a recheck by the campaigns that skipped it; returns them.
pub(crate) async fn mark_for_recheck(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<Vec<CampaignId>, StoreError> {
    let rows = sqlx::query(
        "UPDATE skipped_devices SET needs_recheck = 1 WHERE tenant_id = $1 AND device_key = $2 AND reason <> $3 \
         RETURNING campaign_id",
    )
    .bind(tenant.0)
    .bind(device.0)
    .bind(SkipReason::Superseded.as_str())
    .fetch_all(tx.conn())
    .await
    .map_err(failed(WRITE))?;
    let campaigns: Result<BTreeSet<_>, _> = rows
        .iter()
        .map(|row| row.take("campaign_id").map(CampaignId))
        .collect();
    let campaigns = campaigns.map_err(row_error(READ))?;
    for campaign in &campaigns {
        let run = RunRef {
            tenant,
            campaign: *campaign,
        };
        due::wake(tx, run, now).await?;
    }
    Ok(campaigns.into_iter().collect())
}

/// Why the campaign skipped the device; none: it did not.
pub(crate) async fn skip_reason(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    device: DeviceKey,
) -> Result<Option<SkipReason>, StoreError> {
    let row = sqlx::query(
        "SELECT reason FROM skipped_devices WHERE tenant_id = $1 AND campaign_id = $2 AND device_key = $3",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    row.map(|row| row.parse("reason"))
        .transpose()
        .map_err(row_error(READ))
}
