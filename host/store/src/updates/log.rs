use std::cmp::Reverse;

use serde::Serialize;
use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    feedback::MAX_MESSAGES,
    id::{DeviceKey, TenantId, UpdateId},
    log::{LogLine, LogSource, MAX_LINES},
    time::Timestamp,
    update::UpdateStatus,
};
use tidegate_engine::ports::{DeviceReport, Log, RecordError, ReportedLines, StoreError};

use super::{
    effects::{Effects, RecordOutcome},
    unit_of_work::UpdateUnitOfWork,
};
use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    sql::SqlText,
};

const READ: &str = "read a log";

/// Log lines that a transaction adds. Messages of feedback are stored with the feedback.
#[derive(Default)]
pub(super) struct NewLogLines(Vec<LogChunk>);

#[derive(Serialize)]
struct LogChunk {
    update_id: i32,
    first_line: u64,
    last_line: u64,
    at: i64,
    source: &'static str,
    lines: String,
}

const LOG_CHUNK_COLUMNS: [(&str, ColumnType); 6] = [
    ("update_id", ColumnType::Int),
    ("first_line", ColumnType::Int),
    ("last_line", ColumnType::Int),
    ("at", ColumnType::Int),
    ("source", ColumnType::Text),
    ("lines", ColumnType::Text),
];

impl NewLogLines {
    /// Adds lines to the named update, or to the device's current one.
    pub(super) fn add(
        &mut self,
        work: &mut UpdateUnitOfWork,
        report: &DeviceReport,
        reported: &ReportedLines,
    ) -> RecordOutcome {
        let id = match reported.update {
            Some(id) => work
                .loaded(id)
                .filter(|loaded| loaded.update.device == report.device)
                .map(|loaded| loaded.update.id),
            None => current_update(work, report.device),
        };
        let id = id.ok_or(RecordError::NotFound)?;
        let lines: Vec<_> = reported.lines.iter().map(|line| storable(line)).collect();
        let first = work
            .add_lines(id, lines.len())
            .ok_or(RecordError::NotFound)?;
        if !lines.is_empty() {
            self.0.push(LogChunk {
                update_id: id.0,
                first_line: first,
                last_line: first + lines.len() as u64 - 1,
                at: report.at.0,
                source: reported.source.as_str(),
                lines: serde_json::Value::from_iter(lines).to_string(),
            });
        }
        Ok(Effects::default())
    }

    /// Writes the lines and deletes those beyond the limit.
    pub(super) async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        static SQL: SqlText = SqlText::new(|dialect| {
            let names = LOG_CHUNK_COLUMNS.map(|(name, _)| name).join(", ");
            let from = dialect.json_rows("n", "$2", &LOG_CHUNK_COLUMNS);
            format!("INSERT INTO update_log (tenant_id, {names}) SELECT $1, {names} FROM {from}")
        });

        if self.0.is_empty() {
            return Ok(());
        }
        let values = [tenant.0.into(), to_json(&self.0)?.into()];
        tx.execute_later("write a log", SQL.of(tx.dialect()), values)
            .await?;
        for chunk in self.0.iter().filter(|chunk| chunk.last_line > MAX_LINES) {
            let values = [
                tenant.0.into(),
                i64::from(chunk.update_id).into(),
                to_i64(chunk.last_line - MAX_LINES).into(),
            ];
            tx.execute_later(
                "delete old log lines",
                "DELETE FROM update_log WHERE tenant_id = $1 AND update_id = $2 AND last_line <= $3",
                values,
            )
            .await?;
        }
        Ok(())
    }
}

/// The device's current update: the visible one, otherwise one that is being verified.
fn current_update(work: &UpdateUnitOfWork, device: DeviceKey) -> Option<UpdateId> {
    let open = work
        .updates_of(device)
        .filter(|loaded| loaded.update.state.status.is_open())
        .filter(|loaded| loaded.update.state.status != UpdateStatus::WaitingApproval);
    let shown_first = open.max_by_key(|loaded| {
        let is_shown = loaded.update.state.status.is_offered_to_device();
        (is_shown, loaded.update.weight, Reverse(loaded.update.id))
    });
    shown_first.map(|loaded| loaded.update.id)
}

pub(crate) async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    update: UpdateId,
    after: u64,
    limit: u32,
) -> Result<Log, StoreError> {
    let total = total(tx, tenant, update).await?;
    let after = after.max(total.saturating_sub(MAX_LINES));
    let mut lines = chunks(tx, tenant, update, after, limit).await?;
    lines.extend(feedback(tx, tenant, update, after, limit).await?);
    lines.retain(|line| line.number > after);
    lines.sort_by_key(|line| line.number);
    lines.truncate(limit as usize);
    Ok(Log { lines, total })
}

async fn total(tx: &mut Tx, tenant: TenantId, update: UpdateId) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT log_lines FROM updates WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(i64::from(update.0))
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    row.map_or(Ok(0), |row| row.count("log_lines"))
        .map_err(row_error(READ))
}

/// Each row has at least one line, so `limit` rows suffice.
async fn chunks(
    tx: &mut Tx,
    tenant: TenantId,
    update: UpdateId,
    after: u64,
    limit: u32,
) -> Result<Vec<LogLine>, StoreError> {
    let rows = sqlx::query(
        "SELECT first_line, at, source, lines FROM update_log WHERE tenant_id = $1 AND update_id = $2 \
         AND last_line > $3 ORDER BY first_line LIMIT $4",
    )
    .bind(tenant.0)
    .bind(i64::from(update.0))
    .bind(to_i64(after))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = |row: &AnyRow| lines(row, row.parse("source")?, "lines");
    all(rows.iter().map(read))
}

/// Feedback stores its first line number only, so rows that end before `after` are read as well.
async fn feedback(
    tx: &mut Tx,
    tenant: TenantId,
    update: UpdateId,
    after: u64,
    limit: u32,
) -> Result<Vec<LogLine>, StoreError> {
    let spare = MAX_MESSAGES as u64;
    let rows = sqlx::query(
        "SELECT first_line, at, messages FROM feedback WHERE tenant_id = $1 AND update_id = $2 \
         AND first_line > 0 AND first_line > $3 ORDER BY first_line LIMIT $4",
    )
    .bind(tenant.0)
    .bind(i64::from(update.0))
    .bind(to_i64(after) - MAX_MESSAGES as i64)
    .bind(to_i64(u64::from(limit) + spare))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    all(rows
        .iter()
        .map(|row| lines(row, LogSource::Feedback, "messages")))
}

fn all(
    read: impl Iterator<Item = Result<Vec<LogLine>, RowError>>,
) -> Result<Vec<LogLine>, StoreError> {
    let read: Result<Vec<_>, _> = read.collect();
    Ok(read.map_err(row_error(READ))?.concat())
}

fn lines(row: &AnyRow, source: LogSource, column: &'static str) -> Result<Vec<LogLine>, RowError> {
    let (first, at) = (row.count("first_line")?, Timestamp(row.take("at")?));
    let texts: Vec<String> = row.json(column)?;
    let lines = texts.into_iter().zip(first..);
    Ok(lines
        .map(|(text, number)| LogLine {
            number,
            at,
            source,
            text,
        })
        .collect())
}
