use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    feedback::Feedback,
    firmware::hex,
    id::{TenantId, UpdateId},
    time::Timestamp,
    update::{Event, Progress},
};
use tidegate_engine::ports::StoreError;

use super::{ledger::Ledger, record::Said};
use crate::{
    database::Tx,
    dialect::{Type, storable},
    error::failed,
    rows::{Columns as _, bad_row, to_json},
};

/// What was said of updates before, and is said now.
pub(super) struct History {
    said: HashSet<Key>,
    new: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    update_id: i32,
    seq: u32,
    first_line: u64,
    call_back: u32,
    digest: String,
    at: i64,
    device_time: Option<i64>,
    execution: &'static str,
    finished: &'static str,
    progress_n: Option<u32>,
    progress_of: Option<u32>,
    code: Option<i32>,
    messages: String,
    cut: i64,
}

const ROW: [(&str, Type); 14] = [
    ("update_id", Type::Int),
    ("seq", Type::Int),
    ("first_line", Type::Int),
    ("call_back", Type::Int),
    ("digest", Type::Text),
    ("at", Type::Int),
    ("device_time", Type::Int),
    ("execution", Type::Text),
    ("finished", Type::Text),
    ("progress_n", Type::Int),
    ("progress_of", Type::Int),
    ("code", Type::Int),
    ("messages", Type::Text),
    ("cut", Type::Int),
];

/// Where a feedback stands among what was said of its update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Counts feedbacks, from 1.
    pub(super) seq: u32,
    /// The number in the update's log of its first message; 0: it has none.
    pub(super) first_line: u64,
}

/// Tells the same feedback sent twice from two feedbacks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Key {
    update_id: i32,
    call_back: u32,
    digest: String,
}

impl Key {
    /// `call_back`: which one the device answers, 0 when none.
    pub(super) fn of(update: UpdateId, call_back: u32, feedback: &Feedback) -> Self {
        Self {
            update_id: update.0,
            call_back,
            // Half of the sha256 tells them apart well enough.
            digest: hex(&feedback.digest().0[..16]),
        }
    }
}

impl History {
    /// Which of these feedbacks are kept already.
    pub(super) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        ledger: &Ledger,
        said: &[(usize, &Said)],
    ) -> Result<Self, StoreError> {
        const READ: &str = "read feedback";
        let keys: Vec<_> = said
            .iter()
            .filter_map(|(_, said)| {
                let Said::Event(report) = said else {
                    return None;
                };
                let progress = &ledger.entry(report.update)?.update.progress;
                let (feedback, _) = feedback(&report.event, progress, report.at)?;
                // Whatever call back it answers: that is seen in the rows.
                Some(Key::of(report.update, 0, &feedback))
            })
            .collect();
        let mut history = Self {
            said: HashSet::new(),
            new: Vec::new(),
        };
        if keys.is_empty() {
            return Ok(history);
        }
        let columns = [("update_id", Type::Int), ("digest", Type::Text)];
        let wanted = tx.dialect().rows("k", "$2", &columns);
        let which = tx.dialect().among("f.update_id", "$3");
        let updates: Vec<_> = keys.iter().map(|key| key.update_id).collect();
        let sql = format!(
            "SELECT f.update_id, f.call_back, f.digest FROM {wanted} CROSS JOIN feedback f \
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
                Ok(Key {
                    update_id: row.take("update_id")?,
                    call_back: row.take::<i64>("call_back")? as u32,
                    digest: row.take("digest")?,
                })
            };
            history.said.insert(read().map_err(bad_row(READ))?);
        }
        Ok(history)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.said.contains(key)
    }

    pub(super) fn add(&mut self, key: Key, place: Place, feedback: &Feedback, at: Timestamp) {
        let messages: Vec<_> = feedback
            .messages
            .iter()
            .map(|message| storable(message))
            .collect();
        self.new.push(Row {
            update_id: key.update_id,
            seq: place.seq,
            first_line: place.first_line,
            call_back: key.call_back,
            digest: key.digest.clone(),
            at: at.0,
            device_time: feedback.device_time.map(|at| at.0),
            execution: feedback.execution.as_str(),
            finished: feedback.finished.as_str(),
            progress_n: feedback.progress.map(|(n, _)| n),
            progress_of: feedback.progress.map(|(_, of)| of),
            code: feedback.code,
            messages: serde_json::Value::from_iter(messages).to_string(),
            cut: i64::from(feedback.cut),
        });
        self.said.insert(key);
    }

    pub(super) async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        if self.new.is_empty() {
            return Ok(());
        }
        let names = ROW.map(|(name, _)| name).join(", ");
        let from = tx.dialect().rows("n", "$2", &ROW);
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
    event: &'a Event,
    progress: &Progress,
    at: Timestamp,
) -> Option<(Cow<'a, Feedback>, bool)> {
    match event {
        Event::Feedback(feedback) => Some((progress.heard(feedback, at), false)),
        Event::ConfirmationFeedback(feedback) | Event::Declined(feedback) => {
            Some((Cow::Borrowed(feedback), false))
        }
        Event::CancelFeedback(feedback) => Some((Cow::Borrowed(feedback), true)),
        Event::Retrieved
        | Event::CancelRequested
        | Event::Quit
        | Event::AutoConfirmed
        | Event::VersionReported { .. }
        | Event::DeadlinePassed
        | Event::DeviceGone => None,
    }
}
