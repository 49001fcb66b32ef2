//! Which files are wanted.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tidegate_core::{firmware::hex, id::Digest, time::Timestamp};
use tidegate_engine::ports::{Files, StoreError};

use crate::{
    SqlStore,
    database::Tx,
    error::failed,
    rows::{BadRow, Columns as _, bad_row, bytes_of_hex},
};

#[cfg(test)]
mod tests;

/// Holders that one look lets go.
const ROUND: i64 = 100;

#[async_trait]
impl Files for SqlStore {
    async fn hold_file(
        &self,
        sha256: [u8; 32],
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.database.write().await?;
        if !hold(&mut tx, &hex(&sha256), holder, until).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn let_go_of_files(
        &self,
        holder: &str,
        now: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut tx = self.database.write().await?;
        let doomed = let_go(&mut tx, holder, now).await?;
        tx.commit().await?;
        Ok(doomed)
    }

    async fn file_is_gone(&self, sha256: [u8; 32]) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        sqlx::query("DELETE FROM loose_files WHERE sha256 = $1 AND doomed_at IS NOT NULL")
            .bind(hex(&sha256))
            .execute(tx.conn())
            .await
            .map_err(failed("forget a deleted file"))?;
        tx.commit().await
    }

    async fn stray_files(
        &self,
        now: Timestamp,
        doomed_before: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        let holders = overdue(&mut self.database.once().await?, now).await?;
        let mut strays = Vec::new();
        for holder in holders {
            strays.extend(self.let_go_of_files(&holder, now).await?);
        }
        strays.extend(doomed(&mut self.database.once().await?, doomed_before).await?);
        Ok(strays)
    }
}

/// False: it is doomed.
async fn hold(
    tx: &mut Tx,
    sha256: &str,
    holder: &str,
    until: Timestamp,
) -> Result<bool, StoreError> {
    const HOLD: &str = "hold a file";
    // Changes nothing of a row that is there, but locks it.
    let row = sqlx::query(
        "INSERT INTO loose_files (sha256) VALUES ($1) \
         ON CONFLICT (sha256) DO UPDATE SET doomed_at = loose_files.doomed_at RETURNING doomed_at",
    )
    .bind(sha256)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(HOLD))?;
    let doomed_at: Option<i64> = row.take("doomed_at").map_err(bad_row(HOLD))?;
    if doomed_at.is_some() {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO file_holds (sha256, holder, held_until) VALUES ($1, $2, $3) \
         ON CONFLICT (sha256, holder) DO UPDATE SET held_until = excluded.held_until",
    )
    .bind(sha256)
    .bind(holder)
    .bind(until.0)
    .execute(tx.conn())
    .await
    .map_err(failed(HOLD))?;
    Ok(true)
}

async fn let_go(tx: &mut Tx, holder: &str, now: Timestamp) -> Result<Vec<[u8; 32]>, StoreError> {
    const LET_GO: &str = "let go of files";
    // Locked in one order, so that two who hold the same do not wait for each other.
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT sha256 FROM loose_files WHERE sha256 IN (SELECT sha256 FROM file_holds WHERE holder = $1) \
         ORDER BY sha256{lock}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(holder)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(LET_GO))?;
    let held: Result<Vec<String>, _> = rows.iter().map(|row| row.take("sha256")).collect();
    sqlx::query("DELETE FROM file_holds WHERE holder = $1")
        .bind(holder)
        .execute(tx.conn())
        .await
        .map_err(failed(LET_GO))?;
    let mut doomed = Vec::new();
    for sha256 in held.map_err(bad_row(LET_GO))? {
        let bytes: [u8; 32] = of_hex(&sha256).map_err(bad_row(LET_GO))?;
        if doom(tx, &sha256, bytes, now).await? {
            doomed.push(bytes);
        }
    }
    Ok(doomed)
}

/// Dooms a file that nobody holds and nothing refers to; its row is locked. One that is wanted needs no row when nobody
/// holds it any more.
async fn doom(
    tx: &mut Tx,
    sha256: &str,
    bytes: [u8; 32],
    now: Timestamp,
) -> Result<bool, StoreError> {
    const DOOM: &str = "doom a file";
    let doomed = sqlx::query(
        "UPDATE loose_files SET doomed_at = $3 WHERE sha256 = $1 AND doomed_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM file_holds WHERE file_holds.sha256 = $1) \
         AND NOT EXISTS (SELECT 1 FROM artifacts WHERE artifacts.sha256 = $1) \
         AND NOT EXISTS (SELECT 1 FROM plugin_revisions WHERE plugin_revisions.digest = $2)",
    )
    .bind(sha256)
    .bind(Digest(bytes).to_string())
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(failed(DOOM))?;
    if doomed.rows_affected() > 0 {
        return Ok(true);
    }
    sqlx::query(
        "DELETE FROM loose_files WHERE sha256 = $1 AND doomed_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM file_holds WHERE file_holds.sha256 = $1)",
    )
    .bind(sha256)
    .execute(tx.conn())
    .await
    .map_err(failed(DOOM))?;
    Ok(false)
}

/// Holders whose time is up.
async fn overdue(tx: &mut Tx, now: Timestamp) -> Result<Vec<String>, StoreError> {
    const READ: &str = "read holds of files";
    let rows =
        sqlx::query("SELECT DISTINCT holder FROM file_holds WHERE held_until <= $1 LIMIT $2")
            .bind(now.0)
            .bind(ROUND)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
    let holders: Result<_, _> = rows.iter().map(|row| row.take("holder")).collect();
    holders.map_err(bad_row(READ))
}

/// Files that have been doomed for so long that whoever doomed them is dead.
async fn doomed(tx: &mut Tx, before: Timestamp) -> Result<Vec<[u8; 32]>, StoreError> {
    const READ: &str = "read doomed files";
    let rows = sqlx::query("SELECT sha256 FROM loose_files WHERE doomed_at < $1 LIMIT $2")
        .bind(before.0)
        .bind(ROUND)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let files: Result<_, BadRow> = rows.iter().map(|row| of_hex(row.take("sha256")?)).collect();
    files.map_err(bad_row(READ))
}

fn of_hex(text: &str) -> Result<[u8; 32], BadRow> {
    bytes_of_hex(text).ok_or_else(|| BadRow::Word {
        column: "sha256 of a file",
        value: text.to_owned(),
    })
}
