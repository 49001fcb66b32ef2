use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{
    id::{GatewayId, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{Gateway, GatewayUse, NewGateway, StoreError},
};

use crate::{
    audit::{self, AuditEntry},
    database::Database,
    dialect::{ColumnType, storable},
    error::{conflict, failed},
    last_use::{self, CredentialTable},
    rows::{RowError, RowExt as _, row_error},
};

pub(crate) async fn create(
    database: &Database,
    ctx: &Ctx,
    gateway: &NewGateway,
) -> Result<GatewayId, StoreError> {
    let mut tx = database.write().await?;
    let message = format!(
        "gateway {} exists already, or another one with this token",
        gateway.name
    );
    let group = gateway.group.as_deref();
    let row = sqlx::query(
        "INSERT INTO gateways (tenant_id, name, token_sha256, group_name, created_at) \
         VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(ctx.tenant.0)
    .bind(storable(&gateway.name).into_owned())
    .bind(hex::encode(gateway.sha256))
    .bind(group.map(|group| storable(group).into_owned()))
    .bind(gateway.created_at.0)
    .fetch_one(tx.conn())
    .await
    .map_err(conflict("create a gateway", message))?;
    let id = row.take("id").map(GatewayId);
    let id = id.map_err(row_error("read gateway row"))?;
    let fields = fields(&gateway.name, group);
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("gateway.create", id, Value::Null, fields),
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

pub(crate) async fn list(
    database: &Database,
    tenant: TenantId,
) -> Result<Vec<Gateway>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT id, name, token_sha256, group_name, created_at, last_used FROM gateways \
         WHERE tenant_id = $1 ORDER BY name",
    )
    .bind(tenant.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("read gateways"))?;
    rows.iter()
        .map(gateway)
        .collect::<Result<_, _>>()
        .map_err(row_error("read gateway row"))
}

pub(crate) async fn delete(
    database: &Database,
    ctx: &Ctx,
    id: GatewayId,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM gateways WHERE tenant_id = $1 AND id = $2 RETURNING name, group_name",
    )
    .bind(ctx.tenant.0)
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("delete a gateway"))?;
    let Some(row) = deleted else {
        return Ok(false);
    };
    let read =
        || -> Result<Value, RowError> { Ok(fields(row.take("name")?, row.take("group_name")?)) };
    let before = read().map_err(row_error("read gateway row"))?;
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("gateway.delete", id, before, Value::Null),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Records when gateways were last used; a later time is kept.
pub(crate) async fn record_use(database: &Database, used: &[GatewayUse]) -> Result<(), StoreError> {
    const GATEWAYS: CredentialTable = CredentialTable {
        name: "gateways",
        key: ("id", ColumnType::Int),
        context: "record gateway use",
    };
    let rows = used
        .iter()
        .map(|used| (used.tenant, used.gateway.0, used.at));
    last_use::record(database, &GATEWAYS, rows).await
}

fn fields(name: &str, group: Option<&str>) -> Value {
    json!({ "name": name, "group": group })
}

fn gateway(row: &AnyRow) -> Result<Gateway, RowError> {
    Ok(Gateway {
        id: GatewayId(row.take("id")?),
        name: row.take("name")?,
        sha256: row.hex("token_sha256")?,
        group: row.take::<Option<String>>("group_name")?.map(Into::into),
        created_at: Timestamp(row.take("created_at")?),
        last_used: row.take::<Option<i64>>("last_used")?.map(Timestamp),
    })
}
