//! Requests that their clients named with a key.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use tidegate_core::{firmware::hex, id::TenantId, time::Timestamp};
use tidegate_engine::ports::{
    KeyedRequests, KnownRequest, NewRequest, Progress, Reserved, Room, StoreError, Ticket,
};

use crate::{
    SqlStore,
    database::Tx,
    error::failed,
    rows::{BadRow, Columns as _, bad_row, bytes_of_hex, number},
};

#[cfg(test)]
mod tests;

const RESERVE: &str = "reserve a request";
const READ: &str = "read a request that was reserved";

#[async_trait]
impl KeyedRequests for SqlStore {
    async fn reserve_request(
        &self,
        tenant: TenantId,
        request: NewRequest,
        room: Room,
        now: Timestamp,
    ) -> Result<Reserved, StoreError> {
        let mut tx = self.database.write().await?;
        if !reserve(&mut tx, tenant, &request, now).await? {
            let known = known(&mut tx, tenant, request.ticket.digest).await?;
            return Ok(known.map_or(Reserved::GivenBack, Reserved::There));
        }
        if !has_room(&mut tx, tenant, room).await? {
            return Ok(Reserved::Full);
        }
        tx.commit().await?;
        Ok(Reserved::New)
    }

    async fn renew_request(
        &self,
        tenant: TenantId,
        ticket: Ticket,
        runs_until: Timestamp,
        forget_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        sqlx::query(
            "UPDATE keyed_requests SET runs_until = $4, forget_at = $5 \
             WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND runs_until IS NOT NULL",
        )
        .bind(tenant.0)
        .bind(hex(&ticket.digest))
        .bind(hex(&ticket.salt))
        .bind(runs_until.0)
        .bind(forget_at.0)
        .execute(tx.conn())
        .await
        .map_err(failed("renew a reserved request"))?;
        tx.commit().await
    }

    async fn keep_answer(
        &self,
        tenant: TenantId,
        ticket: Ticket,
        sealed: Option<Vec<u8>>,
        forget_at: Timestamp,
    ) -> Result<(), StoreError> {
        let size = sealed.as_ref().map_or(0, Vec::len);
        let mut tx = self.database.write().await?;
        sqlx::query(
            "UPDATE keyed_requests SET runs_until = NULL, answer = $4, size = $5, forget_at = $6 \
             WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND runs_until IS NOT NULL",
        )
        .bind(tenant.0)
        .bind(hex(&ticket.digest))
        .bind(hex(&ticket.salt))
        .bind(sealed)
        .bind(number(size as u64))
        .bind(forget_at.0)
        .execute(tx.conn())
        .await
        .map_err(failed("keep an answer"))?;
        tx.commit().await
    }

    async fn give_request_back(&self, tenant: TenantId, ticket: Ticket) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        sqlx::query(
            "DELETE FROM keyed_requests \
             WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND runs_until IS NOT NULL",
        )
        .bind(tenant.0)
        .bind(hex(&ticket.digest))
        .bind(hex(&ticket.salt))
        .execute(tx.conn())
        .await
        .map_err(failed("give a request back"))?;
        tx.commit().await
    }

    async fn forget_requests(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut tx = self.database.write().await?;
        let forgotten = sqlx::query(
            "DELETE FROM keyed_requests WHERE (tenant_id, digest) IN (\
             SELECT tenant_id, digest FROM keyed_requests WHERE forget_at <= $1 \
             ORDER BY forget_at LIMIT $2)",
        )
        .bind(now.0)
        .bind(i64::from(most))
        .execute(tx.conn())
        .await
        .map_err(failed("forget requests"))?;
        tx.commit().await?;
        Ok(forgotten.rows_affected())
    }
}

/// Whether it was free, or its time is up.
async fn reserve(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NewRequest,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let reserved = sqlx::query(
        "INSERT INTO keyed_requests \
         (tenant_id, digest, salt, fingerprint, runs_until, answer, size, forget_at) \
         VALUES ($1, $2, $3, $4, $5, NULL, 0, $6) \
         ON CONFLICT (tenant_id, digest) DO UPDATE SET salt = excluded.salt, \
         fingerprint = excluded.fingerprint, runs_until = excluded.runs_until, answer = NULL, \
         size = 0, forget_at = excluded.forget_at WHERE keyed_requests.forget_at <= $7",
    )
    .bind(tenant.0)
    .bind(hex(&request.ticket.digest))
    .bind(hex(&request.ticket.salt))
    .bind(hex(&request.fingerprint))
    .bind(request.runs_until.0)
    .bind(request.forget_at.0)
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(failed(RESERVE))?;
    Ok(reserved.rows_affected() > 0)
}

/// Whether the tenant has room for what it has.
async fn has_room(tx: &mut Tx, tenant: TenantId, room: Room) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS requests, CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes \
         FROM keyed_requests WHERE tenant_id = $1",
    )
    .bind(tenant.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(RESERVE))?;
    let requests = row.count("requests").map_err(bad_row(RESERVE))?;
    let bytes = row.count("bytes").map_err(bad_row(RESERVE))?;
    Ok(requests <= room.requests && bytes <= room.bytes)
}

async fn known(
    tx: &mut Tx,
    tenant: TenantId,
    digest: [u8; 32],
) -> Result<Option<KnownRequest>, StoreError> {
    let row = sqlx::query(
        "SELECT salt, fingerprint, runs_until, answer FROM keyed_requests \
         WHERE tenant_id = $1 AND digest = $2",
    )
    .bind(tenant.0)
    .bind(hex(&digest))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    row.map(|row| of_row(&row, digest).map_err(bad_row(READ)))
        .transpose()
}

fn of_row(row: &AnyRow, digest: [u8; 32]) -> Result<KnownRequest, BadRow> {
    let progress = match row.take::<Option<i64>>("runs_until")? {
        Some(until) => Progress::Running(Timestamp(until)),
        None => Progress::Answered(row.take("answer")?),
    };
    let salt = row.word("salt", bytes_of_hex)?;
    Ok(KnownRequest {
        ticket: Ticket { digest, salt },
        fingerprint: row.word("fingerprint", bytes_of_hex)?,
        progress,
    })
}
