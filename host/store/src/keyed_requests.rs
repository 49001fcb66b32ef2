//! REST requests with an idempotency key.

use sqlx::any::AnyRow;
use tidegate_core::{id::TenantId, time::Timestamp};
use tidegate_engine::ports::{
    ExistingRequest, NewRequest, Quota, RequestState, ReservationId, ReserveResult, StoreError,
};

use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_i64},
};

mod totals;

#[cfg(test)]
mod tests;

const DELETE_EXPIRED: &str = "delete expired requests";
const READ: &str = "read a reserved request";

pub(crate) async fn reserve_request(
    database: &Database,
    tenant: TenantId,
    request: NewRequest,
    quota: Quota,
    now: Timestamp,
) -> Result<ReserveResult, StoreError> {
    let mut tx = database.write().await?;
    delete_expired(&mut tx, tenant, request.reservation.digest, now).await?;
    if !insert(&mut tx, tenant, &request).await? {
        let existing_request =
            existing_request(&mut tx, tenant, request.reservation.digest).await?;
        return Ok(existing_request.map_or(ReserveResult::Released, ReserveResult::Exists));
    }
    if !totals::reserve_one(&mut tx, tenant, quota).await? {
        return Ok(ReserveResult::QuotaExceeded);
    }
    tx.commit().await?;
    Ok(ReserveResult::Reserved)
}

pub(crate) async fn renew_request(
    database: &Database,
    tenant: TenantId,
    reservation: ReservationId,
    lease_until: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE keyed_requests SET lease_until = $4, expires_at = $5 \
         WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND lease_until IS NOT NULL",
    )
    .bind(tenant.0)
    .bind(hex::encode(reservation.digest))
    .bind(hex::encode(reservation.salt))
    .bind(lease_until.0)
    .bind(expires_at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("renew a reserved request"))?;
    tx.commit().await
}

pub(crate) async fn store_response(
    database: &Database,
    tenant: TenantId,
    reservation: ReservationId,
    encrypted: Option<Vec<u8>>,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let size = to_i64(encrypted.as_ref().map_or(0, Vec::len) as u64);
    let mut tx = database.write().await?;
    let updated = sqlx::query(
        "UPDATE keyed_requests SET lease_until = NULL, response = $4, response_bytes = $5, expires_at = $6 \
         WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND lease_until IS NOT NULL",
    )
    .bind(tenant.0)
    .bind(hex::encode(reservation.digest))
    .bind(hex::encode(reservation.salt))
    .bind(encrypted)
    .bind(size)
    .bind(expires_at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("store a response"))?;
    if updated.rows_affected() > 0 {
        totals::change(&mut tx, tenant, 0, size).await?;
    }
    tx.commit().await
}

pub(crate) async fn release_request(
    database: &Database,
    tenant: TenantId,
    reservation: ReservationId,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM keyed_requests \
         WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND lease_until IS NOT NULL",
    )
    .bind(tenant.0)
    .bind(hex::encode(reservation.digest))
    .bind(hex::encode(reservation.salt))
    .execute(tx.conn())
    .await
    .map_err(failed("release a request"))?;
    if deleted.rows_affected() > 0 {
        totals::change(&mut tx, tenant, -1, 0).await?;
    }
    tx.commit().await
}

pub(crate) async fn delete_expired_requests(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM keyed_requests WHERE (tenant_id, digest) IN (\
         SELECT tenant_id, digest FROM keyed_requests WHERE expires_at <= $1 \
         ORDER BY expires_at LIMIT $2) RETURNING tenant_id, response_bytes",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(DELETE_EXPIRED))?;
    totals::subtract(&mut tx, &deleted).await?;
    tx.commit().await?;
    Ok(deleted.len() as u64)
}

/// Deletes an expired request, so that its key can be used again.
async fn delete_expired(
    tx: &mut Tx,
    tenant: TenantId,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let deleted = sqlx::query(
        "DELETE FROM keyed_requests WHERE tenant_id = $1 AND digest = $2 AND expires_at <= $3 \
         RETURNING tenant_id, response_bytes",
    )
    .bind(tenant.0)
    .bind(hex::encode(digest))
    .bind(now.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(DELETE_EXPIRED))?;
    totals::subtract(tx, &deleted).await
}

/// Returns false if the key is in use.
async fn insert(tx: &mut Tx, tenant: TenantId, request: &NewRequest) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO keyed_requests \
         (tenant_id, digest, salt, fingerprint, lease_until, response, response_bytes, expires_at) \
         VALUES ($1, $2, $3, $4, $5, NULL, 0, $6) ON CONFLICT (tenant_id, digest) DO NOTHING",
    )
    .bind(tenant.0)
    .bind(hex::encode(request.reservation.digest))
    .bind(hex::encode(request.reservation.salt))
    .bind(hex::encode(request.fingerprint))
    .bind(request.lease_until.0)
    .bind(request.expires_at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("reserve a request"))?;
    Ok(inserted.rows_affected() > 0)
}

async fn existing_request(
    tx: &mut Tx,
    tenant: TenantId,
    digest: [u8; 32],
) -> Result<Option<ExistingRequest>, StoreError> {
    let row = sqlx::query(
        "SELECT salt, fingerprint, lease_until, response FROM keyed_requests \
         WHERE tenant_id = $1 AND digest = $2",
    )
    .bind(tenant.0)
    .bind(hex::encode(digest))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    row.map(|row| from_row(&row, digest).map_err(row_error(READ)))
        .transpose()
}

fn from_row(row: &AnyRow, digest: [u8; 32]) -> Result<ExistingRequest, RowError> {
    let progress = match row.take::<Option<i64>>("lease_until")? {
        Some(until) => RequestState::Running(Timestamp(until)),
        None => RequestState::Completed(row.take("response")?),
    };
    let salt = row.hex("salt")?;
    Ok(ExistingRequest {
        reservation: ReservationId { digest, salt },
        fingerprint: row.hex("fingerprint")?,
        progress,
    })
}
