use sqlx::Row as _;
use tidegate_core::id::{CampaignId, DeviceKey, TenantId};
use tidegate_engine::ports::{Membership, StoreError};

use super::json::ClassJson;
use crate::{
    blob::{MemberSlot, find_slot},
    database::Tx,
    error::{failed, internal},
    rows::{RowExt as _, row_error},
};

const READ: &str = "read membership";

/// What the campaign decided for a device when it started.
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
    let Some(slot) = slot(tx, tenant, id, device).await? else {
        return Ok(Membership::NotSelected);
    };
    if let Some((wave, position)) = slot.wave {
        let position = u64::from(position);
        return Ok(Membership::InWave { wave, position });
    }
    Ok(exclusion(tx, tenant, id, slot.class)
        .await?
        .unwrap_or(Membership::InNoWave))
}

async fn slot(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    device: DeviceKey,
) -> Result<Option<MemberSlot>, StoreError> {
    let row = sqlx::query(
        "SELECT slots FROM campaign_devices WHERE tenant_id = $1 AND campaign_id = $2 AND first_device_key <= $3 \
         ORDER BY first_device_key DESC LIMIT 1",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let blob: &[u8] = row.try_get("slots").map_err(failed(READ))?;
    find_slot(blob, device).map_err(|error| internal(READ)(Box::new(error)))
}

async fn exclusion(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    class: u32,
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
        })
    };
    read().map(Some).map_err(row_error(READ))
}
