//! The firmware of intermediate versions that a campaign's devices install first.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, FirmwareId, TenantId},
    update::IntermediateFirmware,
};
use tidegate_engine::ports::StoreError;

use super::create::lock_firmware;
use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _},
};

/// The columns that [`from_row`] reads, of `campaign_classes c` and its left-joined `firmware f`.
pub(crate) const COLUMNS: &str =
    "c.intermediate_firmware_id, c.intermediate_reason, f.version AS intermediate_version";
/// Joins the intermediate firmware of `campaign_classes c`.
pub(crate) const JOIN: &str =
    "LEFT JOIN firmware f ON f.tenant_id = c.tenant_id AND f.id = c.intermediate_firmware_id";

pub(crate) fn from_row(row: &AnyRow) -> Result<Option<IntermediateFirmware>, RowError> {
    let Some(firmware) = row.take::<Option<i64>>("intermediate_firmware_id")? else {
        return Ok(None);
    };
    Ok(Some(IntermediateFirmware {
        firmware: FirmwareId(firmware),
        version: row.take("intermediate_version")?,
        reason: row.take("intermediate_reason")?,
    }))
}

/// Keeps this firmware from deletion until the campaign ends. A deleted firmware is a conflict.
pub(crate) async fn keep(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    firmware: &BTreeSet<FirmwareId>,
) -> Result<(), StoreError> {
    for id in firmware {
        lock_firmware(tx, tenant, *id).await?;
        sqlx::query(
            "INSERT INTO campaign_intermediate_firmware (tenant_id, campaign_id, firmware_id) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(id.0)
        .execute(tx.conn())
        .await
        .map_err(failed("keep an intermediate firmware"))?;
    }
    Ok(())
}
