use sqlx::any::AnyRow;
use tidegate_core::{
    feedback::{Execution, Feedback, Finished},
    id::{TenantId, UpdateId},
    time::Timestamp,
};
use tidegate_engine::ports::{FeedbackRow, StoreError};

use super::row::{code, n_of_m};
use crate::{
    database::Tx,
    error::failed,
    rows::{BadRow, Columns as _, bad_row},
};

const READ: &str = "read feedback";

/// What a device said of an update, newest first.
pub(super) async fn history(
    tx: &mut Tx,
    tenant: TenantId,
    id: UpdateId,
    limit: u32,
) -> Result<Vec<FeedbackRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT call_back, at, device_time, execution, finished, progress_n, progress_of, code, messages, cut \
         FROM feedback WHERE tenant_id = $1 AND update_id = $2 ORDER BY seq DESC LIMIT $3",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    of_rows(&rows)
}

/// What of it has messages or a code, newest first by the device's own time.
pub(super) async fn messages(
    tx: &mut Tx,
    tenant: TenantId,
    id: UpdateId,
    limit: u32,
) -> Result<Vec<FeedbackRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT call_back, at, device_time, execution, finished, progress_n, progress_of, code, messages, cut \
         FROM feedback WHERE tenant_id = $1 AND update_id = $2 AND (messages <> '[]' OR code IS NOT NULL) \
         ORDER BY COALESCE(device_time, at) DESC, seq DESC LIMIT $3",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    of_rows(&rows)
}

fn of_rows(rows: &[AnyRow]) -> Result<Vec<FeedbackRow>, StoreError> {
    rows.iter()
        .map(of_row)
        .collect::<Result<_, _>>()
        .map_err(bad_row(READ))
}

fn of_row(row: &AnyRow) -> Result<FeedbackRow, BadRow> {
    Ok(FeedbackRow {
        at: Timestamp(row.take("at")?),
        feedback: Feedback {
            device_time: row.take::<Option<i64>>("device_time")?.map(Timestamp),
            execution: row.word("execution", Execution::parse)?,
            finished: row.word("finished", Finished::parse)?,
            progress: n_of_m(row)?,
            code: code(row)?,
            messages: row.json("messages")?,
            cut: row.flag("cut")?,
        },
        on_cancel: row.count("call_back")? > 0,
    })
}
