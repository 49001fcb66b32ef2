//! How many requests with keys each tenant has, and the bytes of their answers.

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

/// Counts one more. False: there is no room for it.
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

/// Counts so many more, or fewer.
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

/// Counts these no more: rows with their `tenant_id` and `response_bytes`.
pub(super) async fn subtract(tx: &mut Tx, rows: &[AnyRow]) -> Result<(), StoreError> {
    // In the order of tenants, so that hosts that forget at once do not block one another.
    let mut forgotten = BTreeMap::<i64, (i64, i64)>::new();
    for row in rows {
        let (tenant, size) = from_row(row).map_err(row_error(COUNT))?;
        let total = forgotten.entry(tenant).or_default();
        *total = (total.0 + 1, total.1 + size);
    }
    for (tenant, (requests, bytes)) in forgotten {
        change(tx, TenantId(tenant), -requests, -bytes).await?;
    }
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<(i64, i64), RowError> {
    Ok((row.take("tenant_id")?, row.take("response_bytes")?))
}
