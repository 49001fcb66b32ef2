use serde_json::{Value, json};
use tidegate_core::{
    id::{FirmwareId, TenantId},
    time::Timestamp,
};
use tidegate_engine::{Ctx, ports::StoreError};

use super::models;
use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    error::failed,
    latest::mark_dirty,
    rows::{RowError, RowExt as _, row_error},
};

/// Marks a firmware as deleted, unless a campaign that has not ended installs it, or installs it first. Returns false if it does not exist.
pub(crate) async fn delete(
    database: &Database,
    ctx: &Ctx,
    id: FirmwareId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let sql = format!(
        "SELECT name, version FROM firmware WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_update()
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a firmware"))?;
    let Some(row) = row else {
        return Ok(false);
    };
    let name_and_version =
        || -> Result<(String, String), RowError> { Ok((row.take("name")?, row.take("version")?)) };
    let (name, version) = name_and_version().map_err(row_error("read firmware row"))?;
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
    let before = json!({ "name": name, "version": version });
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("firmware.delete", id, before, Value::Null),
    )
    .await?;
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
         WHERE c.tenant_id = $1 AND r.ended_at IS NULL AND c.id IN (\
           SELECT id FROM campaigns WHERE tenant_id = $1 AND firmware_id = $2 \
           UNION SELECT campaign_id FROM campaign_intermediate_firmware WHERE tenant_id = $1 AND firmware_id = $2) \
         ORDER BY c.id LIMIT 1",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("find the campaigns of a firmware"))?;
    row.map(|row| row.take("id"))
        .transpose()
        .map_err(row_error("read campaign row"))
}
