mod access;
mod settings;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{Named as _, id::TenantId, settings::TenantSettings, time::Timestamp};
use tidegate_engine::{
    Ctx, ServerCtx,
    ports::{ApiKey, ApiKeyRecord, ApiKeyUse, StoreError, Tenant},
    tenants::key_id,
};

use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::{conflict, failed},
    invalidation::notify_tenant,
    last_use::{self, CredentialTable},
    rows::{RowError, RowExt, row_error, to_json},
};

pub(crate) async fn create_tenant(
    database: &Database,
    ctx: &ServerCtx,
    name: &str,
) -> Result<Tenant, StoreError> {
    let mut tx = database.write().await?;
    let message = || format!("tenant {name} exists already");
    let row = sqlx::query(
        "INSERT INTO tenants (name, settings, settings_revision, created_at) \
         VALUES ($1, '{}', 0, $2) RETURNING id, name, settings, settings_revision",
    )
    .bind(storable(name).into_owned())
    .bind(ctx.now().0)
    .fetch_one(tx.conn())
    .await
    .map_err(conflict("create a tenant", message()))?;
    let tenant = tenant_from_row(&row).map_err(row_error("read tenant row"))?;
    let after = json!({ "name": tenant.name });
    let entry = AuditEntry::new("tenant.create", tenant.id, Value::Null, after);
    audit::record(&mut tx, &ctx.in_tenant(tenant.id), entry).await?;
    tx.commit().await?;
    Ok(tenant)
}

pub(crate) async fn tenant(database: &Database, name: &str) -> Result<Option<Tenant>, StoreError> {
    let mut tx = database.read_single().await?;
    let row =
        sqlx::query("SELECT id, name, settings, settings_revision FROM tenants WHERE name = $1")
            .bind(storable(name).into_owned())
            .fetch_optional(tx.conn())
            .await
            .map_err(failed("read a tenant"))?;
    row.map(|row| tenant_from_row(&row))
        .transpose()
        .map_err(row_error("read tenant row"))
}

pub(crate) async fn tenants(database: &Database) -> Result<Vec<Tenant>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query("SELECT id, name, settings, settings_revision FROM tenants ORDER BY id")
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the tenants"))?;
    rows.iter()
        .map(tenant_from_row)
        .collect::<Result<_, _>>()
        .map_err(row_error("read tenant row"))
}

pub(crate) async fn tenant_by_id(
    database: &Database,
    id: TenantId,
) -> Result<Option<Tenant>, StoreError> {
    let mut tx = database.read_single().await?;
    let row =
        sqlx::query("SELECT id, name, settings, settings_revision FROM tenants WHERE id = $1")
            .bind(id.0)
            .fetch_optional(tx.conn())
            .await
            .map_err(failed("read a tenant"))?;
    row.map(|row| tenant_from_row(&row))
        .transpose()
        .map_err(row_error("read tenant row"))
}

pub(crate) async fn change_settings(
    database: &Database,
    ctx: &Ctx,
    before: &Tenant,
    settings: &TenantSettings,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let changed = sqlx::query(
        "UPDATE tenants SET settings = $1, settings_revision = settings_revision + 1, track_address = $4 \
         WHERE id = $2 AND settings_revision = $3",
    )
    .bind(settings::to_text(settings)?)
    .bind(ctx.tenant.0)
    .bind(before.settings_revision)
    .bind(i64::from(settings.track_address))
    .execute(tx.conn())
    .await
    .map_err(failed("change a tenant's settings"))?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    if !settings.track_address {
        delete_addresses(&mut tx, ctx.tenant).await?;
    }
    let (old, new) = (
        settings::to_value(&before.settings)?,
        settings::to_value(settings)?,
    );
    let entry = AuditEntry::of_difference("settings.change", ctx.tenant, old, new);
    audit::record(&mut tx, ctx, entry).await?;
    notify_tenant(&mut tx, ctx.tenant).await?;
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn create_key(
    database: &Database,
    ctx: &Ctx,
    key: ApiKeyRecord,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "INSERT INTO api_keys (sha256, tenant_id, user_name, role, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(hex::encode(key.sha256))
    .bind(key.tenant.0)
    .bind(storable(&key.user).into_owned())
    .bind(key.role.as_str())
    .bind(key.expires_at.map(|at| at.0))
    .bind(key.created_at.0)
    .execute(tx.conn())
    .await
    .map_err(conflict(
        "create an API key",
        "the API key exists already".to_owned(),
    ))?;
    let expires_at = key.expires_at.map(|at| at.0);
    let after = json!({ "user": key.user, "role": key.role.as_str(), "expires_at": expires_at });
    let entry = AuditEntry::new("api_key.create", key_id(&key.sha256), Value::Null, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await
}

pub(crate) async fn key(
    database: &Database,
    sha256: [u8; 32],
) -> Result<Option<ApiKey>, StoreError> {
    let mut tx = database.read_single().await?;
    let row = sqlx::query(
        "SELECT t.id, t.name, t.settings, t.settings_revision, k.user_name, k.role, k.expires_at \
         FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.sha256 = $1",
    )
    .bind(hex::encode(sha256))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("read an API key"))?;
    row.map(|row| key_from_row(&row))
        .transpose()
        .map_err(row_error("read API key row"))
}

pub(crate) async fn existing_keys(
    database: &Database,
    keys: &[(TenantId, [u8; 32])],
) -> Result<Vec<(TenantId, [u8; 32])>, StoreError> {
    #[derive(Serialize)]
    struct KeyRow {
        tenant_id: i64,
        sha256: String,
    }

    let rows = keys.iter().map(|(tenant, sha256)| KeyRow {
        tenant_id: tenant.0,
        sha256: hex::encode(sha256),
    });
    let rows: Vec<_> = rows.collect();
    let columns = [("tenant_id", ColumnType::Int), ("sha256", ColumnType::Text)];
    let sql = format!(
        "SELECT k.tenant_id, k.sha256 FROM {} \
         JOIN api_keys k ON k.tenant_id = sought.tenant_id AND k.sha256 = sought.sha256",
        database.dialect().json_rows("sought", "$1", &columns)
    );
    let mut tx = database.read_single().await?;
    let found = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("find API keys"))?;
    let key = |row: &AnyRow| Ok((TenantId(row.take("tenant_id")?), row.hex("sha256")?));
    found
        .iter()
        .map(key)
        .collect::<Result<_, RowError>>()
        .map_err(row_error("read API key row"))
}

pub(crate) async fn keys(
    database: &Database,
    tenant: TenantId,
) -> Result<Vec<ApiKeyRecord>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT tenant_id, user_name, role, sha256, expires_at, created_at, last_used FROM api_keys \
         WHERE tenant_id = $1 ORDER BY created_at, sha256",
    )
    .bind(tenant.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("list API keys"))?;
    rows.iter()
        .map(stored_key)
        .collect::<Result<_, _>>()
        .map_err(row_error("read API key row"))
}

pub(crate) async fn delete_key(
    database: &Database,
    ctx: &Ctx,
    sha256: [u8; 32],
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM api_keys WHERE tenant_id = $1 AND sha256 = $2 \
         RETURNING user_name, role, expires_at",
    )
    .bind(ctx.tenant.0)
    .bind(hex::encode(sha256))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("delete an API key"))?;
    let Some(row) = deleted else {
        return Ok(false);
    };
    let read = || -> Result<Value, RowError> {
        let (user, role): (&str, &str) = (row.take("user_name")?, row.take("role")?);
        let expires_at: Option<i64> = row.take("expires_at")?;
        Ok(json!({ "user": user, "role": role, "expires_at": expires_at }))
    };
    let before = read().map_err(row_error("read API key row"))?;
    let entry = AuditEntry::new("api_key.revoke", key_id(&sha256), before, Value::Null);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Records when API keys were last used; a later time is kept.
pub(crate) async fn record_key_use(
    database: &Database,
    used: &[ApiKeyUse],
) -> Result<(), StoreError> {
    const KEYS: CredentialTable = CredentialTable {
        name: "api_keys",
        key: ("sha256", ColumnType::Text),
        context: "record API key use",
    };
    let rows = used
        .iter()
        .map(|used| (used.tenant, hex::encode(used.sha256), used.at));
    last_use::record(database, &KEYS, rows).await
}

pub(crate) async fn has_keys(database: &Database) -> Result<bool, StoreError> {
    let mut tx = database.read_single().await?;
    // Reads across tenants: used only while there is no key.
    let row = sqlx::query("SELECT tenant_id FROM api_keys LIMIT 1")
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("find API keys"))?;
    Ok(row.is_some())
}

/// Deletes stored addresses after the tenant stopped tracking them.
async fn delete_addresses(tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query("UPDATE devices SET address = NULL WHERE tenant_id = $1 AND address IS NOT NULL")
        .bind(tenant.0)
        .execute(tx.conn())
        .await
        .map_err(failed("delete device addresses"))?;
    Ok(())
}

fn tenant_from_row(row: &AnyRow) -> Result<Tenant, RowError> {
    Ok(Tenant {
        id: TenantId(row.take("id")?),
        name: row.take("name")?,
        settings: settings::from_text(row.take("settings")?)?,
        settings_revision: row.take("settings_revision")?,
    })
}

fn key_from_row(row: &AnyRow) -> Result<ApiKey, RowError> {
    Ok(ApiKey {
        tenant: tenant_from_row(row)?,
        user: row.take("user_name")?,
        role: row.parse("role")?,
        expires_at: row.take::<Option<i64>>("expires_at")?.map(Timestamp),
    })
}

fn stored_key(row: &AnyRow) -> Result<ApiKeyRecord, RowError> {
    Ok(ApiKeyRecord {
        tenant: TenantId(row.take("tenant_id")?),
        user: row.take("user_name")?,
        role: row.parse("role")?,
        sha256: row.hex("sha256")?,
        expires_at: row.take::<Option<i64>>("expires_at")?.map(Timestamp),
        created_at: Timestamp(row.take("created_at")?),
        last_used: row.take::<Option<i64>>("last_used")?.map(Timestamp),
    })
}

#[cfg(test)]
mod tests;
