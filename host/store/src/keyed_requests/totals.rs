//! The number of stored requests of each tenant and the bytes of their responses.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use tidegate_core::id::TenantId;
use tidegate_engine::ports::{Quota, StoreError};

use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_i64},
};

const COUNT: &str = "count requests";

/// Counts a new request. Returns false if the quota is exhausted.
pub(super) async fn reserve_one(
    tx: &mut Tx,
    tenant: TenantId,
    quota: Quota,
) -> Result<bool, StoreError> {
    let counted = sqlx::query(
        "INSERT INTO keyed_request_totals (tenant_id, requests, bytes) VALUES ($1, 1, 0) \
         ON CONFLICT (tenant_id) DO UPDATE SET requests = keyed_request_totals.requests + 1 \
         WHERE keyed_request_totals.requests < $2 AND keyed_request_totals.bytes <= $3",
    )
    .bind(tenant.0)
    .bind(to_i64(quota.requests))
    .bind(to_i64(quota.bytes))
    .execute(tx.conn())
    .await
    .map_err(failed(COUNT))?;
    Ok(counted.rows_affected() > 0)
}

/// Adds to the totals; negative numbers subtract.
pub(super) async fn change(
    tx: &mut Tx,
    tenant: TenantId,
    requests: i64,
    bytes: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE keyed_request_totals SET requests = requests + $2, bytes = bytes + $3 \
         WHERE tenant_id = $1",
    )
    .bind(tenant.0)
    .bind(requests)
    .bind(bytes)
    .execute(tx.conn())
    .await
    .map_err(failed(COUNT))?;
    Ok(())
}

/// Subtracts deleted rows, which have a `tenant_id` and `response_bytes`.
pub(super) async fn subtract(tx: &mut Tx, rows: &[AnyRow]) -> Result<(), StoreError> {
    // A fixed order of tenants prevents deadlocks between servers.
    let mut deleted = BTreeMap::<i64, (i64, i64)>::new();
    for row in rows {
        let (tenant, size) = from_row(row).map_err(row_error(COUNT))?;
        let total = deleted.entry(tenant).or_default();
        *total = (total.0 + 1, total.1 + size);
    }
    for (tenant, (requests, bytes)) in deleted {
        change(tx, TenantId(tenant), -requests, -bytes).await?;
    }
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<(i64, i64), RowError> {
    Ok((row.take("tenant_id")?, row.take("response_bytes")?))
}
