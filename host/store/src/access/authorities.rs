use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{
    id::{AuthorityId, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{Authority, NewAuthority, StoreError},
};

use crate::{
    audit::{self, AuditEntry},
    database::Database,
    dialect::storable,
    error::{conflict, failed},
    rows::{RowError, RowExt as _, row_error},
};

pub(crate) async fn create(
    database: &Database,
    ctx: &Ctx,
    authority: NewAuthority,
) -> Result<AuthorityId, StoreError> {
    let mut tx = database.write().await?;
    let name = storable(&authority.name).into_owned();
    let message = format!("authority {name} exists already, or another one with this certificate");
    let row = sqlx::query(
        "INSERT INTO device_authorities \
         (tenant_id, name, certificate_sha256, certificate, subject, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(ctx.tenant.0)
    .bind(name)
    .bind(hex::encode(authority.sha256))
    .bind(&authority.certificate)
    .bind(storable(&authority.subject).into_owned())
    .bind(authority.expires_at.0)
    .bind(authority.created_at.0)
    .fetch_one(tx.conn())
    .await
    .map_err(conflict("create an authority", message))?;
    let id = row.take("id").map(AuthorityId);
    let id = id.map_err(row_error("read authority row"))?;
    let sha256 = hex::encode(authority.sha256);
    let after = fields(
        &authority.name,
        &authority.subject,
        &sha256,
        authority.expires_at.0,
    );
    let entry = AuditEntry::new("device_authority.create", id, Value::Null, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(id)
}

pub(crate) async fn list(
    database: &Database,
    tenant: TenantId,
) -> Result<Vec<Authority>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT id, name, certificate_sha256, certificate, subject, expires_at, created_at \
         FROM device_authorities WHERE tenant_id = $1 ORDER BY name",
    )
    .bind(tenant.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("read authorities"))?;
    rows.iter()
        .map(authority)
        .collect::<Result<_, _>>()
        .map_err(row_error("read authority row"))
}

pub(crate) async fn delete(
    database: &Database,
    ctx: &Ctx,
    id: AuthorityId,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM device_authorities WHERE tenant_id = $1 AND id = $2 \
         RETURNING name, subject, certificate_sha256, expires_at",
    )
    .bind(ctx.tenant.0)
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("delete an authority"))?;
    let Some(row) = deleted else {
        return Ok(false);
    };
    let read = || -> Result<Value, RowError> {
        let (name, subject) = (row.take("name")?, row.take("subject")?);
        let sha256 = row.take("certificate_sha256")?;
        Ok(fields(name, subject, sha256, row.take("expires_at")?))
    };
    let before = read().map_err(row_error("read authority row"))?;
    let entry = AuditEntry::new("device_authority.delete", id, before, Value::Null);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// The fields of an authority, for the audit trail.
fn fields(name: &str, subject: &str, sha256: &str, expires_at: i64) -> Value {
    json!({ "name": name, "subject": subject, "certificate_sha256": sha256, "expires_at": expires_at })
}

fn authority(row: &AnyRow) -> Result<Authority, RowError> {
    Ok(Authority {
        id: AuthorityId(row.take("id")?),
        name: row.take("name")?,
        certificate: row.take("certificate")?,
        sha256: row.hex("certificate_sha256")?,
        subject: row.take("subject")?,
        expires_at: Timestamp(row.take("expires_at")?),
        created_at: Timestamp(row.take("created_at")?),
    })
}
