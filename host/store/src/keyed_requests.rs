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

mod totals;

#[cfg(test)]
mod tests;

const FORGET: &str = "forget requests";
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
        free(&mut tx, tenant, request.ticket.digest, now).await?;
        if !insert(&mut tx, tenant, &request).await? {
            let known = known(&mut tx, tenant, request.ticket.digest).await?;
            return Ok(known.map_or(Reserved::GivenBack, Reserved::There));
        }
        if !totals::count_one(&mut tx, tenant, room).await? {
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
        let size = number(sealed.as_ref().map_or(0, Vec::len) as u64);
        let mut tx = self.database.write().await?;
        let kept = sqlx::query(
            "UPDATE keyed_requests SET runs_until = NULL, answer = $4, size = $5, forget_at = $6 \
             WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND runs_until IS NOT NULL",
        )
        .bind(tenant.0)
        .bind(hex(&ticket.digest))
        .bind(hex(&ticket.salt))
        .bind(sealed)
        .bind(size)
        .bind(forget_at.0)
        .execute(tx.conn())
        .await
        .map_err(failed("keep an answer"))?;
        if kept.rows_affected() > 0 {
            totals::change(&mut tx, tenant, 0, size).await?;
        }
        tx.commit().await
    }

    async fn give_request_back(&self, tenant: TenantId, ticket: Ticket) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        let given_back = sqlx::query(
            "DELETE FROM keyed_requests \
             WHERE tenant_id = $1 AND digest = $2 AND salt = $3 AND runs_until IS NOT NULL",
        )
        .bind(tenant.0)
        .bind(hex(&ticket.digest))
        .bind(hex(&ticket.salt))
        .execute(tx.conn())
        .await
        .map_err(failed("give a request back"))?;
        if given_back.rows_affected() > 0 {
            totals::change(&mut tx, tenant, -1, 0).await?;
        }
        tx.commit().await
    }

    async fn forget_requests(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut tx = self.database.write().await?;
        let forgotten = sqlx::query(
            "DELETE FROM keyed_requests WHERE (tenant_id, digest) IN (\
             SELECT tenant_id, digest FROM keyed_requests WHERE forget_at <= $1 \
             ORDER BY forget_at LIMIT $2) RETURNING tenant_id, size",
        )
        .bind(now.0)
        .bind(i64::from(most))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(FORGET))?;
        totals::forget(&mut tx, &forgotten).await?;
        tx.commit().await?;
        Ok(forgotten.len() as u64)
    }
}

/// Makes place for a request whose key was used so long ago that it is forgotten.
async fn free(
    tx: &mut Tx,
    tenant: TenantId,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let forgotten = sqlx::query(
        "DELETE FROM keyed_requests WHERE tenant_id = $1 AND digest = $2 AND forget_at <= $3 \
         RETURNING tenant_id, size",
    )
    .bind(tenant.0)
    .bind(hex(&digest))
    .bind(now.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(FORGET))?;
    totals::forget(tx, &forgotten).await
}

/// Whether nobody had it.
async fn insert(tx: &mut Tx, tenant: TenantId, request: &NewRequest) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO keyed_requests \
         (tenant_id, digest, salt, fingerprint, runs_until, answer, size, forget_at) \
         VALUES ($1, $2, $3, $4, $5, NULL, 0, $6) ON CONFLICT (tenant_id, digest) DO NOTHING",
    )
    .bind(tenant.0)
    .bind(hex(&request.ticket.digest))
    .bind(hex(&request.ticket.salt))
    .bind(hex(&request.fingerprint))
    .bind(request.runs_until.0)
    .bind(request.forget_at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("reserve a request"))?;
    Ok(inserted.rows_affected() > 0)
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
