//! Leases and garbage collection of stored files.

use sqlx::AssertSqlSafe;
use tidegate_core::{id::Digest, time::Timestamp};
use tidegate_engine::ports::StoreError;

use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, bytes_of_hex, row_error},
};

#[cfg(test)]
mod tests;

/// The maximum number of rows that one round of garbage collection reads.
const MAX_PER_ROUND: i64 = 100;

pub(crate) async fn lease_file(
    database: &Database,
    sha256: [u8; 32],
    holder: &str,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    if !acquire_lease(&mut tx, &hex::encode(sha256), holder, until).await? {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn end_file_leases(
    database: &Database,
    holder: &str,
    now: Timestamp,
) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut tx = database.write().await?;
    let deletable = end_leases(&mut tx, holder, now).await?;
    tx.commit().await?;
    Ok(deletable)
}

pub(crate) async fn confirm_file_deleted(
    database: &Database,
    sha256: [u8; 32],
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query("DELETE FROM unreferenced_files WHERE sha256 = $1 AND deleting_since IS NOT NULL")
        .bind(hex::encode(sha256))
        .execute(tx.conn())
        .await
        .map_err(failed("confirm a deleted file"))?;
    tx.commit().await
}

pub(crate) async fn orphaned_files(
    database: &Database,
    now: Timestamp,
    deleting_before: Timestamp,
) -> Result<Vec<[u8; 32]>, StoreError> {
    let holders = expired_holders(&mut database.read_single().await?, now).await?;
    let mut orphans = Vec::new();
    for holder in holders {
        orphans.extend(end_file_leases(database, &holder, now).await?);
    }
    orphans.extend(stale_deletions(&mut database.read_single().await?, deleting_before).await?);
    Ok(orphans)
}

/// Returns false if the file is being deleted.
async fn acquire_lease(
    tx: &mut Tx,
    sha256: &str,
    holder: &str,
    until: Timestamp,
) -> Result<bool, StoreError> {
    const LEASE: &str = "lease a file";
    // Locks an existing row; does not change it.
    let row = sqlx::query(
        "INSERT INTO unreferenced_files (sha256) VALUES ($1) \
         ON CONFLICT (sha256) DO UPDATE SET deleting_since = unreferenced_files.deleting_since RETURNING deleting_since",
    )
    .bind(sha256)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(LEASE))?;
    let deleting_since: Option<i64> = row.take("deleting_since").map_err(row_error(LEASE))?;
    if deleting_since.is_some() {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO file_leases (sha256, holder, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (sha256, holder) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(sha256)
    .bind(holder)
    .bind(until.0)
    .execute(tx.conn())
    .await
    .map_err(failed(LEASE))?;
    Ok(true)
}

async fn end_leases(
    tx: &mut Tx,
    holder: &str,
    now: Timestamp,
) -> Result<Vec<[u8; 32]>, StoreError> {
    const END_LEASES: &str = "end file leases";
    // A fixed order prevents deadlocks between holders of the same files.
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT sha256 FROM unreferenced_files WHERE sha256 IN (SELECT sha256 FROM file_leases WHERE holder = $1) \
         ORDER BY sha256{lock}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(holder)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(END_LEASES))?;
    let leased: Result<Vec<String>, _> = rows.iter().map(|row| row.take("sha256")).collect();
    sqlx::query("DELETE FROM file_leases WHERE holder = $1")
        .bind(holder)
        .execute(tx.conn())
        .await
        .map_err(failed(END_LEASES))?;
    let mut deletable = Vec::new();
    for sha256 in leased.map_err(row_error(END_LEASES))? {
        let bytes: [u8; 32] =
            bytes_of_hex("sha256 of a file", &sha256).map_err(row_error(END_LEASES))?;
        if mark_pending_delete(tx, &sha256, bytes, now).await? {
            deletable.push(bytes);
        }
    }
    Ok(deletable)
}

/// Marks a file for deletion if it is neither leased nor referenced. Its row is locked. A referenced file without a
/// lease needs no row.
async fn mark_pending_delete(
    tx: &mut Tx,
    sha256: &str,
    bytes: [u8; 32],
    now: Timestamp,
) -> Result<bool, StoreError> {
    const MARK: &str = "mark a file for deletion";
    let marked = sqlx::query(
        "UPDATE unreferenced_files SET deleting_since = $3 WHERE sha256 = $1 AND deleting_since IS NULL \
         AND NOT EXISTS (SELECT 1 FROM file_leases WHERE file_leases.sha256 = $1) \
         AND NOT EXISTS (SELECT 1 FROM artifacts WHERE artifacts.sha256 = $1) \
         AND NOT EXISTS (SELECT 1 FROM plugin_revisions WHERE plugin_revisions.digest = $2)",
    )
    .bind(sha256)
    .bind(Digest(bytes).to_string())
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(failed(MARK))?;
    if marked.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query(
        "DELETE FROM unreferenced_files WHERE sha256 = $1 AND deleting_since IS NULL \
         AND NOT EXISTS (SELECT 1 FROM file_leases WHERE file_leases.sha256 = $1)",
    )
    .bind(sha256)
    .execute(tx.conn())
    .await
    .map_err(failed(MARK))?;
    Ok(false)
}

/// Holders with an expired lease.
async fn expired_holders(tx: &mut Tx, now: Timestamp) -> Result<Vec<String>, StoreError> {
    const READ: &str = "read expired file leases";
    let rows =
        sqlx::query("SELECT DISTINCT holder FROM file_leases WHERE expires_at <= $1 LIMIT $2")
            .bind(now.0)
            .bind(MAX_PER_ROUND)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
    let holders: Result<_, _> = rows.iter().map(|row| row.take("holder")).collect();
    holders.map_err(row_error(READ))
}

/// Files whose deletion was not confirmed: the server that deleted them stopped.
async fn stale_deletions(tx: &mut Tx, before: Timestamp) -> Result<Vec<[u8; 32]>, StoreError> {
    const READ: &str = "read unconfirmed file deletions";
    let rows =
        sqlx::query("SELECT sha256 FROM unreferenced_files WHERE deleting_since < $1 LIMIT $2")
            .bind(before.0)
            .bind(MAX_PER_ROUND)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
    let files: Result<_, RowError> = rows.iter().map(|row| row.hex("sha256")).collect();
    files.map_err(row_error(READ))
}
