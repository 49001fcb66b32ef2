use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    id::{DeviceKey, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{OldToken, StoreError},
};

use crate::{
    audit::{self, AuditEntry},
    database::Database,
    dialect::storable,
    error::failed,
    invalidation::notify_devices,
    rows::{RowError, RowExt as _, row_error},
};

/// Reads the columns `old_token_sha256` and `old_token_until` of a device.
pub(crate) fn old_token(row: &AnyRow) -> Result<Option<Box<OldToken>>, RowError> {
    let sha256 = row.hex_optional("old_token_sha256")?;
    let until = row.take::<Option<i64>>("old_token_until")?.map(Timestamp);
    let old = sha256.zip(until);
    Ok(old.map(|(sha256, until)| Box::new(OldToken { sha256, until })))
}

/// Replaces or removes a device's token.
pub(crate) async fn replace(
    database: &Database,
    ctx: &Ctx,
    device_id: &str,
    sha256: Option<[u8; 32]>,
    old_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let sql = format!(
        "SELECT token_sha256, old_token_until FROM devices WHERE tenant_id = $1 AND device_id = $2{}",
        tx.dialect().for_update()
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(ctx.tenant.0)
        .bind(storable(device_id).into_owned())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a device's token"))?;
    let Some(row) = row else {
        return Ok(false);
    };
    let before = read_fields(&row).map_err(row_error("read device row"))?;
    // If the device has not used the current token, it still has the old one: keep the old one, drop the unused one.
    sqlx::query(
        "UPDATE devices SET \
         old_token_sha256 = CASE WHEN CAST($4 AS BIGINT) IS NULL THEN NULL \
             WHEN old_token_sha256 IS NOT NULL AND old_token_until > CAST($5 AS BIGINT) \
             THEN old_token_sha256 ELSE token_sha256 END, \
         old_token_until = CAST($4 AS BIGINT), token_sha256 = CAST($3 AS TEXT) \
         WHERE tenant_id = $1 AND device_id = $2",
    )
    .bind(ctx.tenant.0)
    .bind(storable(device_id).into_owned())
    .bind(sha256.map(hex::encode))
    .bind(old_until.map(|at| at.0))
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(failed("replace a device's token"))?;
    let mut after = fields(sha256.is_some(), old_until);
    let action = if sha256.is_some() {
        // The other fields may be the same as before.
        after["token_replaced"] = true.into();
        "device.replace_token"
    } else {
        "device.revoke_token"
    };
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new(action, device_id, before, after),
    )
    .await?;
    notify_devices(&mut tx, ctx.tenant, [device_id]).await?;
    tx.commit().await?;
    Ok(true)
}

fn read_fields(row: &AnyRow) -> Result<Value, RowError> {
    let token: Option<&str> = row.take("token_sha256")?;
    let old_until = row.take::<Option<i64>>("old_token_until")?.map(Timestamp);
    Ok(fields(token.is_some(), old_until))
}

/// The fields of a device's tokens, for the audit trail.
fn fields(has_token: bool, old_until: Option<Timestamp>) -> Value {
    json!({ "has_token": has_token, "old_token_expires_at": old_until.map(|at| at.0) })
}

pub(crate) async fn forget_old(
    database: &Database,
    tenant: TenantId,
    device: DeviceKey,
    current: [u8; 32],
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    let rows = sqlx::query(
        "UPDATE devices SET old_token_sha256 = NULL, old_token_until = NULL \
         WHERE tenant_id = $1 AND id = $2 AND token_sha256 = $3 AND old_token_until IS NOT NULL \
         RETURNING device_id",
    )
    .bind(tenant.0)
    .bind(device.0)
    .bind(hex::encode(current))
    .fetch_all(tx.conn())
    .await
    .map_err(failed("delete a device's old token"))?;
    for row in &rows {
        let device_id: String = row
            .take("device_id")
            .map_err(row_error("read device row"))?;
        notify_devices(&mut tx, tenant, [device_id.as_str()]).await?;
    }
    tx.commit().await
}

pub(crate) async fn device_groups(
    database: &Database,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<Vec<String>>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT g.name FROM devices d \
         LEFT JOIN device_groups g ON g.tenant_id = d.tenant_id AND g.device_key = d.id \
         WHERE d.tenant_id = $1 AND d.device_id = $2 ORDER BY g.name",
    )
    .bind(tenant.0)
    .bind(storable(device_id).into_owned())
    .fetch_all(tx.conn())
    .await
    .map_err(failed("read a device's groups"))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let names: Result<Vec<Option<String>>, _> = rows.iter().map(|row| row.take("name")).collect();
    let names = names.map_err(row_error("read device group row"))?;
    Ok(Some(names.into_iter().flatten().collect()))
}
