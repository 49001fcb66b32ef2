//! Which files are wanted.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tidegate_core::{firmware::hex, id::Digest, time::Timestamp};
use tidegate_engine::ports::{Files, StoreError};

use crate::{
    SqlStore,
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, bytes_of_hex, row_error},
};

#[cfg(test)]
mod tests;

/// Holders that one look lets go.
const MAX_PER_ROUND: i64 = 100;

#[async_trait]
impl Files for SqlStore {
    async fn lease_file(
        &self,
        sha256: [u8; 32],
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.database.write().await?;
        if !acquire_lease(&mut tx, &hex(&sha256), holder, until).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn end_file_leases(
        &self,
        holder: &str,
        now: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut tx = self.database.write().await?;
        let stale_deletions = end_leases(&mut tx, holder, now).await?;
        tx.commit().await?;
        Ok(stale_deletions)
    }

    async fn confirm_file_deleted(&self, sha256: [u8; 32]) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        sqlx::query(
            "DELETE FROM unreferenced_files WHERE sha256 = $1 AND deleting_since IS NOT NULL",
        )
        .bind(hex(&sha256))
        .execute(tx.conn())
        .await
        .map_err(failed("forget a deleted file"))?;
        tx.commit().await
    }

    async fn orphaned_files(
        &self,
        now: Timestamp,
        doomed_before: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let holders = expired_holders(&mut self.database.read_single().await?, now).await?;
        let mut strays = Vec::new();
        for holder in holders {
            strays.extend(self.end_file_leases(&holder, now).await?);
        }
        strays
            .extend(stale_deletions(&mut self.database.read_single().await?, doomed_before).await?);
        Ok(strays)
    }
}

/// False: it is doomed.
async fn acquire_lease(
    tx: &mut Tx,
    sha256: &str,
    holder: &str,
    until: Timestamp,
) -> Result<bool, StoreError> {
    const HOLD: &str = "hold a file";
    // Changes nothing of a row that is there, but locks it.
    let row = sqlx::query(
        "INSERT INTO unreferenced_files (sha256) VALUES ($1) \
         ON CONFLICT (sha256) DO UPDATE SET deleting_since = unreferenced_files.deleting_since RETURNING deleting_since",
    )
    .bind(sha256)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(HOLD))?;
    let deleting_since: Option<i64> = row.take("deleting_since").map_err(row_error(HOLD))?;
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
    .map_err(failed(HOLD))?;
    Ok(true)
}

async fn end_leases(
    tx: &mut Tx,
    holder: &str,
    now: Timestamp,
) -> Result<Vec<[u8; 32]>, StoreError> {
    const LET_GO: &str = "let go of files";
    // Locked in one order, so that two who hold the same do not wait for each other.
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT sha256 FROM unreferenced_files WHERE sha256 IN (SELECT sha256 FROM file_leases WHERE holder = $1) \
         ORDER BY sha256{lock}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(holder)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(LET_GO))?;
    let held: Result<Vec<String>, _> = rows.iter().map(|row| row.take("sha256")).collect();
    sqlx::query("DELETE FROM file_leases WHERE holder = $1")
        .bind(holder)
        .execute(tx.conn())
        .await
        .map_err(failed(LET_GO))?;
    let mut stale_deletions = Vec::new();
    for sha256 in held.map_err(row_error(LET_GO))? {
        let bytes: [u8; 32] = parse_hex(&sha256).map_err(row_error(LET_GO))?;
        if mark_pending_delete(tx, &sha256, bytes, now).await? {
            stale_deletions.push(bytes);
        }
    }
    Ok(stale_deletions)
}

/// Dooms a file that nobody holds and nothing refers to; its row is locked. One that is wanted needs no row when nobody
/// holds it any more.
async fn mark_pending_delete(
    tx: &mut Tx,
    sha256: &str,
    bytes: [u8; 32],
    now: Timestamp,
) -> Result<bool, StoreError> {
    const DOOM: &str = "doom a file";
    let stale_deletions = sqlx::query(
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
    .map_err(failed(DOOM))?;
    if stale_deletions.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query(
        "DELETE FROM unreferenced_files WHERE sha256 = $1 AND deleting_since IS NULL \
         AND NOT EXISTS (SELECT 1 FROM file_leases WHERE file_leases.sha256 = $1)",
    )
    .bind(sha256)
    .execute(tx.conn())
    .await
    .map_err(failed(DOOM))?;
    Ok(false)
}

/// Holders whose time is up.
async fn expired_holders(tx: &mut Tx, now: Timestamp) -> Result<Vec<String>, StoreError> {
    const READ: &str = "read holds of files";
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

/// Files that have been doomed for so long that whoever doomed them is dead.
async fn stale_deletions(tx: &mut Tx, before: Timestamp) -> Result<Vec<[u8; 32]>, StoreError> {
    const READ: &str = "read doomed files";
    let rows =
        sqlx::query("SELECT sha256 FROM unreferenced_files WHERE deleting_since < $1 LIMIT $2")
            .bind(before.0)
            .bind(MAX_PER_ROUND)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
    let files: Result<_, RowError> = rows
        .iter()
        .map(|row| parse_hex(row.take("sha256")?))
        .collect();
    files.map_err(row_error(READ))
}

fn parse_hex(text: &str) -> Result<[u8; 32], RowError> {
    bytes_of_hex(text).ok_or_else(|| RowError::UnknownValue {
        column: "sha256 of a file",
        value: text.to_owned(),
    })
}
