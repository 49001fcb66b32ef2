use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _};
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId},
    time::Timestamp,
    update::IntermediateFirmware,
};
use tidegate_engine::ports::{Membership, RunRef, StoreError};

use super::{
    intermediate,
    json::ClassJson,
    late_devices::{last_wave, late_devices},
};
use crate::{
    blob::{MemberSlot, find_slot},
    database::Tx,
    error::{failed, internal},
    rows::{RowExt as _, row_error},
};

const READ: &str = "read membership";

/// What the campaign decided for a device when it started, or later if its plan is dynamic.
pub(crate) async fn membership(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    device: DeviceKey,
) -> Result<Membership, StoreError> {
    let started = sqlx::query(
        "SELECT started_at FROM campaign_runs \
         WHERE tenant_id = $1 AND campaign_id = $2 AND started_at IS NOT NULL",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    if started.is_none() {
        return Ok(Membership::NotStarted);
    }
    let run = RunRef {
        tenant,
        campaign: id,
    };
    let device = BTreeSet::from([device]);
    let slot = slots(tx, run, &device).await?.pop();
    if let Some(slot) = &slot
        && let Some((wave, position)) = slot.wave
    {
        return Ok(Membership::InWave {
            wave,
            position: u64::from(position),
            joined_later_at: None,
            intermediate: intermediate_of(tx, tenant, id, slot.class).await?,
        });
    }
    let late = late_devices(tx, run, &device).await?.into_values().next();
    if let Some(late) = late {
        let Some(position) = late.position else {
            let excluded = exclusion(tx, tenant, id, late.class, Some(late.at)).await?;
            return Ok(excluded.unwrap_or(Membership::NotSelected));
        };
        return Ok(Membership::InWave {
            wave: last_wave(tx, run).await?.index,
            position,
            joined_later_at: Some(late.at),
            intermediate: intermediate_of(tx, tenant, id, late.class).await?,
        });
    }
    let Some(slot) = slot else {
        return Ok(Membership::NotSelected);
    };
    Ok(exclusion(tx, tenant, id, slot.class, None)
        .await?
        .unwrap_or(Membership::InNoWave))
}

/// The slots of those of these devices that the campaign selected when it started. They are stored in packed chunks,
/// ordered by key: each chunk is searched for the devices in its key range.
pub(crate) async fn slots(
    tx: &mut Tx,
    run: RunRef,
    devices: &BTreeSet<DeviceKey>,
) -> Result<Vec<MemberSlot>, StoreError> {
    let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query(
        "SELECT first_device_key, slots FROM campaign_devices \
         WHERE tenant_id = $1 AND campaign_id = $2 AND first_device_key <= $3 AND first_device_key >= COALESCE((\
         SELECT MAX(c.first_device_key) FROM campaign_devices c \
         WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.first_device_key <= $4), $4) \
         ORDER BY first_device_key DESC",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(last.0)
    .bind(first.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let mut slots = Vec::new();
    let mut until = DeviceKey(i64::MAX);
    for row in &rows {
        let first = row.take("first_device_key").map(DeviceKey);
        let first = first.map_err(row_error(READ))?;
        let blob: &[u8] = row.try_get("slots").map_err(failed(READ))?;
        for key in devices.range(first..until) {
            slots.extend(find_slot(blob, *key).map_err(|error| internal(READ)(Box::new(error)))?);
        }
        until = first;
    }
    Ok(slots)
}

/// The firmware that devices of this class got first when policies checked it.
async fn intermediate_of(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    class: u32,
) -> Result<Option<IntermediateFirmware>, StoreError> {
    let sql = format!(
        "SELECT {} FROM campaign_classes c {} WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.class = $3",
        intermediate::COLUMNS,
        intermediate::JOIN
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .bind(i64::from(class))
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    let found = row.as_ref().map(intermediate::from_row).transpose();
    Ok(found.map_err(row_error(READ))?.flatten())
}

async fn exclusion(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    class: u32,
    excluded_later_at: Option<Timestamp>,
) -> Result<Option<Membership>, StoreError> {
    let row = sqlx::query(
        "SELECT class_key, exclusion_reason FROM campaign_classes \
         WHERE tenant_id = $1 AND campaign_id = $2 AND class = $3 AND exclusion_reason IS NOT NULL",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(i64::from(class))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        Ok(Membership::Excluded {
            class: row.json::<ClassJson>("class_key")?.into(),
            reason: row.take("exclusion_reason")?,
            excluded_later_at,
        })
    };
    read().map(Some).map_err(row_error(READ))
}
