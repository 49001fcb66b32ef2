use sqlx::any::AnyRow;
use tidegate_core::{
    feedback::Feedback,
    id::{TenantId, UpdateId},
    time::Timestamp,
};
use tidegate_engine::ports::{FeedbackRow, StoreError};

use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
};

const READ: &str = "read feedback";

/// Feedback on an update, newest first.
pub(crate) async fn history(
    tx: &mut Tx,
    tenant: TenantId,
    id: UpdateId,
    limit: u32,
) -> Result<Vec<FeedbackRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT cancel_request, at, device_time, execution, finished, progress_n, progress_of, code, messages, truncated \
         FROM feedback WHERE tenant_id = $1 AND update_id = $2 ORDER BY seq DESC LIMIT $3",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    from_rows(&rows)
}

/// Feedback with messages or a code, newest first by the device's time.
pub(crate) async fn messages(
    tx: &mut Tx,
    tenant: TenantId,
    id: UpdateId,
    limit: u32,
) -> Result<Vec<FeedbackRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT cancel_request, at, device_time, execution, finished, progress_n, progress_of, code, messages, truncated \
         FROM feedback WHERE tenant_id = $1 AND update_id = $2 AND (messages <> '[]' OR code IS NOT NULL) \
         ORDER BY COALESCE(device_time, at) DESC, seq DESC LIMIT $3",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    from_rows(&rows)
}

fn from_rows(rows: &[AnyRow]) -> Result<Vec<FeedbackRow>, StoreError> {
    rows.iter()
        .map(from_row)
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

fn from_row(row: &AnyRow) -> Result<FeedbackRow, RowError> {
    Ok(FeedbackRow {
        at: Timestamp(row.take("at")?),
        feedback: Feedback {
            device_time: row.take::<Option<i64>>("device_time")?.map(Timestamp),
            execution: row.parse("execution")?,
            finished: row.parse("finished")?,
            progress: row
                .optional_u32("progress_n")?
                .zip(row.optional_u32("progress_of")?),
            code: row.take("code")?,
            messages: row.json("messages")?,
            cut: row.flag("truncated")?,
        },
        on_cancel: row.count("cancel_request")? > 0,
    })
}
