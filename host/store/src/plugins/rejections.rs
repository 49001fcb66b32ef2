//! Rejected uploads. The audit trail is all that keeps them.

use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{
    id::{Digest, TenantId},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{Page, PageRequest, RejectedUpload, StoreError},
};

use crate::{
    audit::{self, AuditEntry},
    database::Database,
    dialect::storable,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_i64},
};

const LIST: &str = "list rejected uploads";

pub(crate) async fn record_rejection(
    database: &Database,
    ctx: &Ctx,
    digest: Digest,
    reason: &str,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    let after = json!({ "reason": storable(reason) });
    let entry = AuditEntry::new("plugin.reject", digest, Value::Null, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await
}

pub(crate) async fn list_rejections(
    database: &Database,
    tenant: TenantId,
    page: PageRequest,
) -> Result<Page<RejectedUpload>, StoreError> {
    let mut tx = database.read().await?;
    let total = sqlx::query(
        "SELECT COUNT(*) AS total FROM audit WHERE tenant_id = $1 AND action = 'plugin.reject'",
    )
    .bind(tenant.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(LIST))?;
    let rows = sqlx::query(
        "SELECT at, actor, resource_id, after_json FROM audit \
         WHERE tenant_id = $1 AND action = 'plugin.reject' ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(tenant.0)
    .bind(i64::from(page.limit))
    .bind(to_i64(page.offset))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(LIST))?;
    let items = rows.iter().map(rejection_from_row);
    Ok(Page {
        items: items.collect::<Result<_, _>>().map_err(row_error(LIST))?,
        total: total.count("total").map_err(row_error(LIST))?,
    })
}

#[derive(Deserialize)]
struct RejectionJson {
    reason: String,
}

fn rejection_from_row(row: &AnyRow) -> Result<RejectedUpload, RowError> {
    let after: RejectionJson = row.json("after_json")?;
    Ok(RejectedUpload {
        digest: row.parse("resource_id")?,
        reason: after.reason,
        by: row.take("actor")?,
        at: Timestamp(row.take("at")?),
    })
}
