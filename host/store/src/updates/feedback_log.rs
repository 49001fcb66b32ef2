use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use tidegate_core::{
    Named as _,
    feedback::Feedback,
    id::{TenantId, UpdateId},
    time::Timestamp,
    update::{UpdateEvent, UpdateState},
};
use tidegate_engine::ports::{DeviceEvent, DeviceReport, StoreError};

use super::unit_of_work::UpdateUnitOfWork;
use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
};

/// Stored feedback, and new feedback to be stored.
pub(super) struct FeedbackWriter {
    keys: HashSet<FeedbackKey>,
    new: Vec<NewFeedbackRow>,
    /// Maximum feedbacks kept of one update.
    pub(super) max_per_update: u32,
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

/// The position of feedback in an update's history and log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogPosition {
    /// Numbers the feedback of an update, from 1.
    pub(super) seq: u32,
    /// The log line number of its first message; 0: it has no messages.
    pub(super) first_line: u64,
}

/// Identifies repeated feedback.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct FeedbackKey {
    update_id: i32,
    cancel_request: u32,
    digest: String,
}

impl FeedbackKey {
    /// `cancel_request` is the number of the cancellation request that it answers, 0 for other feedback.
    pub(super) fn of(update: UpdateId, cancel_request: u32, feedback: &Feedback) -> Self {
        Self {
            update_id: update.0,
            cancel_request,
            // The first half of the sha256 suffices.
            digest: hex::encode(&feedback.digest().0[..16]),
        }
    }
}

impl FeedbackWriter {
    /// Reads which feedback of these reports is stored already.
    pub(super) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        work: &UpdateUnitOfWork,
        reports: &[(usize, &DeviceReport)],
        max_per_update: u32,
    ) -> Result<Self, StoreError> {
        const READ: &str = "read feedback";
        static SQL: SqlText = SqlText::new(|dialect| {
            let columns = [("update_id", ColumnType::Int), ("digest", ColumnType::Text)];
            let key_rows = dialect.json_rows("k", "$2", &columns);
            let which = dialect.key_in_json("f.update_id", "$3");
            format!(
                "SELECT f.update_id, f.cancel_request, f.digest FROM {key_rows} CROSS JOIN feedback f \
                 WHERE +f.tenant_id = $1 AND f.update_id = k.update_id AND f.digest = k.digest AND {which}"
            )
        });

        let keys: Vec<_> = reports
            .iter()
            .filter_map(|(_, report)| {
                let DeviceEvent::Update(update, event) = &report.event else {
                    return None;
                };
                // The first feedback of an update repeats none.
                let loaded = work
                    .loaded(*update)
                    .filter(|loaded| loaded.feedback_count > 0)?;
                let (feedback, _) = feedback(event, &loaded.update.state, report.at)?;
                // The digest selects the rows; they contain the cancellation request.
                Some(FeedbackKey::of(*update, 0, &feedback))
            })
            .collect();
        let mut history = Self {
            keys: HashSet::new(),
            new: Vec::new(),
            max_per_update,
        };
        if keys.is_empty() {
            return Ok(history);
        }
        let updates: Vec<_> = keys.iter().map(|key| key.update_id).collect();
        let rows = sqlx::query(SQL.of(tx.dialect()))
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
        static SQL: SqlText = SqlText::new(|dialect| {
            let names = FEEDBACK_COLUMNS.map(|(name, _)| name).join(", ");
            let from = dialect.json_rows("n", "$2", &FEEDBACK_COLUMNS);
            format!("INSERT INTO feedback (tenant_id, {names}) SELECT $1, {names} FROM {from}")
        });

        if self.new.is_empty() {
            return Ok(());
        }
        let values = [tenant.0.into(), to_json(&self.new)?.into()];
        tx.execute_later("write feedback", SQL.of(tx.dialect()), values)
            .await
    }
}

/// The feedback in an event, as interpreted for the update's state, and whether it answers a cancellation.
pub(super) fn feedback<'a>(
    event: &'a UpdateEvent,
    state: &UpdateState,
    at: Timestamp,
) -> Option<(Cow<'a, Feedback>, bool)> {
    match event {
        UpdateEvent::Feedback(feedback) | UpdateEvent::LateSuccess(feedback) => {
            Some((state.interpret_feedback(feedback, at), false))
        }
        UpdateEvent::ConfirmationFeedback(feedback) | UpdateEvent::Declined(feedback) => {
            Some((Cow::Borrowed(feedback), false))
        }
        UpdateEvent::CancelFeedback(feedback) => Some((Cow::Borrowed(feedback), true)),
        UpdateEvent::Retrieved
        | UpdateEvent::FetchFailed { .. }
        | UpdateEvent::FetchBegun
        | UpdateEvent::FetchSeen
        | UpdateEvent::FetchCompleted
        | UpdateEvent::CancelRequested
        | UpdateEvent::ForceCancel
        | UpdateEvent::AutoConfirmed
        | UpdateEvent::VersionReported { .. }
        | UpdateEvent::ClassChanged
        | UpdateEvent::Incompatible(_)
        | UpdateEvent::NoUpgradePath(_)
        | UpdateEvent::Approved
        | UpdateEvent::ApprovalRejected(_)
        | UpdateEvent::DeadlinePassed
        | UpdateEvent::DeviceGone => None,
    }
}
