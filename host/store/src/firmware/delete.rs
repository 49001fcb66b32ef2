use tidegate_core::{
    id::{FirmwareId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::StoreError;

use super::models;
use crate::{
    database::{Database, Tx},
    error::failed,
    latest::mark_dirty,
    rows::{RowExt as _, row_error},
};

/// Marks a firmware as deleted, unless a campaign that has not ended uses it. Returns false if it does not exist.
pub(super) async fn delete(
    database: &Database,
    tenant: TenantId,
    id: FirmwareId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let sql = format!(
        "SELECT id FROM firmware WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_update()
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a firmware"))?;
    if row.is_none() {
        return Ok(false);
    }
    if let Some(campaign) = active_campaign(&mut tx, tenant, id).await? {
        return Err(StoreError::Conflict(format!(
            "campaign {campaign} uses the firmware and has not ended"
        )));
    }
    sqlx::query("UPDATE firmware SET deleted_at = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id.0)
        .bind(now.0)
        .execute(tx.conn())
        .await
        .map_err(failed("delete a firmware"))?;
    models::delete(&mut tx, tenant, id).await?;
    mark_dirty(&mut tx, tenant).await?;
    tx.commit().await?;
    Ok(true)
}

async fn active_campaign(
    tx: &mut Tx,
    tenant: TenantId,
    id: FirmwareId,
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "SELECT c.id FROM campaigns c \
         JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.id \
         WHERE c.tenant_id = $1 AND c.firmware_id = $2 AND r.ended_at IS NULL \
         ORDER BY c.id LIMIT 1",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("look for campaigns of a firmware"))?;
    row.map(|row| row.take("id"))
        .transpose()
        .map_err(row_error("read campaign row"))
}
