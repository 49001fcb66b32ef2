use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    feedback::Feedback,
    firmware::hex,
    id::{TenantId, UpdateId},
    time::Timestamp,
    update::{UpdateEvent, UpdateState},
};
use tidegate_engine::ports::StoreError;

use super::{record::DeviceReport, unit_of_work::UpdateUnitOfWork};
use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
};

/// What was reports of updates before, and is reports now.
pub(super) struct FeedbackLog {
    keys: HashSet<FeedbackKey>,
    new: Vec<NewFeedbackRow>,
}

#[derive(Serialize)]
struct NewFeedbackRow {
    update_id: i32,
    seq: u32,
    first_line: u64,
    cancel_request: u32,
    digest: String,
    at: i64,
    device_time: Option<i64>,
    execution: &'static str,
    finished: &'static str,
    progress_n: Option<u32>,
    progress_of: Option<u32>,
    code: Option<i32>,
    messages: String,
    truncated: i64,
}

const FEEDBACK_COLUMNS: [(&str, ColumnType); 14] = [
    ("update_id", ColumnType::Int),
    ("seq", ColumnType::Int),
    ("first_line", ColumnType::Int),
    ("cancel_request", ColumnType::Int),
    ("digest", ColumnType::Text),
    ("at", ColumnType::Int),
    ("device_time", ColumnType::Int),
    ("execution", ColumnType::Text),
    ("finished", ColumnType::Text),
    ("progress_n", ColumnType::Int),
    ("progress_of", ColumnType::Int),
    ("code", ColumnType::Int),
    ("messages", ColumnType::Text),
    ("truncated", ColumnType::Int),
];

/// Where a feedback stands among what was reports of its update.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogPosition {
    /// Counts feedback_count, from 1.
    pub(super) seq: u32,
    /// The number in the update's log of its first message; 0: it has none.
    pub(super) first_line: u64,
}

/// Tells the same feedback sent twice from two feedback_count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct FeedbackKey {
    update_id: i32,
    cancel_request: u32,
    digest: String,
}

impl FeedbackKey {
    /// `cancel_request`: which one the device answers, 0 when none.
    pub(super) fn of(update: UpdateId, cancel_request: u32, feedback: &Feedback) -> Self {
        Self {
            update_id: update.0,
            cancel_request,
            // Half of the sha256 tells them apart well enough.
            digest: hex(&feedback.digest().0[..16]),
        }
    }
}

impl FeedbackLog {
    /// Which of these feedback_count are kept already.
    pub(super) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        work: &UpdateUnitOfWork,
        reports: &[(usize, &DeviceReport)],
    ) -> Result<Self, StoreError> {
        const READ: &str = "read feedback";
        let keys: Vec<_> = reports
            .iter()
            .filter_map(|(_, report)| {
                let DeviceReport::UpdateEvent(report) = report else {
                    return None;
                };
                let progress = &work.loaded(report.update)?.update.state;
                let (feedback, _) = feedback(&report.event, progress, report.at)?;
                // Whatever call back it answers: that is seen in the rows.
                Some(FeedbackKey::of(report.update, 0, &feedback))
            })
            .collect();
        let mut history = Self {
            keys: HashSet::new(),
            new: Vec::new(),
        };
        if keys.is_empty() {
            return Ok(history);
        }
        let columns = [("update_id", ColumnType::Int), ("digest", ColumnType::Text)];
        let wanted = tx.dialect().json_rows("k", "$2", &columns);
        let which = tx.dialect().key_in_json("f.update_id", "$3");
        let updates: Vec<_> = keys.iter().map(|key| key.update_id).collect();
        let sql = format!(
            "SELECT f.update_id, f.cancel_request, f.digest FROM {wanted} CROSS JOIN feedback f \
             WHERE +f.tenant_id = $1 AND f.update_id = k.update_id AND f.digest = k.digest AND {which}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(to_json(&keys)?)
            .bind(to_json(&updates)?)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        for row in &rows {
            let read = || {
                Ok(FeedbackKey {
                    update_id: row.take("update_id")?,
                    cancel_request: row.take::<i64>("cancel_request")? as u32,
                    digest: row.take("digest")?,
                })
            };
            history.keys.insert(read().map_err(row_error(READ))?);
        }
        Ok(history)
    }

    pub(super) fn has(&self, key: &FeedbackKey) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn add(
        &mut self,
        key: FeedbackKey,
        position: LogPosition,
        feedback: &Feedback,
        at: Timestamp,
    ) {
        let messages: Vec<_> = feedback
            .messages
            .iter()
            .map(|message| storable(message))
            .collect();
        self.new.push(NewFeedbackRow {
            update_id: key.update_id,
            seq: position.seq,
            first_line: position.first_line,
            cancel_request: key.cancel_request,
            digest: key.digest.clone(),
            at: at.0,
            device_time: feedback.device_time.map(|at| at.0),
            execution: feedback.execution.as_str(),
            finished: feedback.finished.as_str(),
            progress_n: feedback.progress.map(|(n, _)| n),
            progress_of: feedback.progress.map(|(_, of)| of),
            code: feedback.code,
            messages: serde_json::Value::from_iter(messages).to_string(),
            truncated: i64::from(feedback.cut),
        });
        self.keys.insert(key);
    }

    pub(super) async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        if self.new.is_empty() {
            return Ok(());
        }
        let names = FEEDBACK_COLUMNS.map(|(name, _)| name).join(", ");
        let from = tx.dialect().json_rows("n", "$2", &FEEDBACK_COLUMNS);
        let sql =
            format!("INSERT INTO feedback (tenant_id, {names}) SELECT $1, {names} FROM {from}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(to_json(&self.new)?)
            .execute(tx.conn())
            .await
            .map_err(failed("write feedback"))?;
        Ok(())
    }
}

/// What a device means by this event of an update that stands so, and whether it answers a call back.
pub(super) fn feedback<'a>(
    event: &'a UpdateEvent,
    progress: &UpdateState,
    at: Timestamp,
) -> Option<(Cow<'a, Feedback>, bool)> {
    match event {
        UpdateEvent::Feedback(feedback) => Some((progress.interpret_feedback(feedback, at), false)),
        UpdateEvent::ConfirmationFeedback(feedback) | UpdateEvent::Declined(feedback) => {
            Some((Cow::Borrowed(feedback), false))
        }
        UpdateEvent::CancelFeedback(feedback) => Some((Cow::Borrowed(feedback), true)),
        UpdateEvent::Retrieved
        | UpdateEvent::CancelRequested
        | UpdateEvent::ForceCancel
        | UpdateEvent::AutoConfirmed
        | UpdateEvent::VersionReported { .. }
        | UpdateEvent::DeadlinePassed
        | UpdateEvent::DeviceGone => None,
    }
}
