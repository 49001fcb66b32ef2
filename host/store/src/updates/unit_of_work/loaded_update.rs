use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    Named as _,
    id::{DeviceKey, TenantId, UpdateId},
    rollback::RollbackActionName,
    time::Timestamp,
    update::{Update, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use super::update_rows::{ChangedRow, ColumnValue, Columns, update_rows};
use crate::{
    database::Tx,
    dialect::storable,
    error::failed,
    json_row::JsonRow as _,
    rows::{RowError, row_error, to_i64, to_json},
    sql::{SqlText, literal},
    updates::{
        deadlines::StoredDeadlines,
        row::{StoredRow, UpdateRecord},
    },
};

/// An update that a transaction reads and changes.
#[derive(Debug, Clone)]
pub(crate) struct LoadedUpdate {
    pub(crate) update: Update,
    pub(crate) revision: i32,
    /// Number of stored feedback messages.
    pub(crate) feedback_count: u32,
    /// Number of log lines written so far.
    pub(crate) log_lines: u64,
    /// How often a cancellation was requested.
    pub(crate) cancel_requests: u32,
    pub(crate) cancel_requested_at: Option<Timestamp>,
    pub(crate) rollback_processed_at: Option<Timestamp>,
    /// What that rollback did for the device; `None`: nothing, or an earlier version processed it.
    pub(crate) rollback_action: Option<RollbackActionName>,
    /// The columns as they are stored.
    stored: Columns<'static>,
}

impl LoadedUpdate {
    /// An update that was created in this transaction.
    pub(super) fn created(update: Update, stopped_ms: i64) -> Self {
        Self {
            update,
            revision: 0,
            feedback_count: 0,
            log_lines: 0,
            cancel_requests: 0,
            cancel_requested_at: None,
            rollback_processed_at: None,
            rollback_action: None,
            stored: Columns::new(),
        }
        .with_stored_columns(stopped_ms)
    }

    fn stored(record: UpdateRecord, stopped_ms: i64) -> Self {
        Self {
            update: record.update,
            revision: record.revision,
            feedback_count: record.feedback_count,
            log_lines: record.log_lines,
            cancel_requests: record.cancel_requests,
            cancel_requested_at: record.cancel_requested_at,
            rollback_processed_at: record.rollback_processed_at,
            rollback_action: record.rollback_action,
            stored: Columns::new(),
        }
        .with_stored_columns(stopped_ms)
    }

    /// Whether it has ended and no rollback has processed it.
    pub(crate) fn is_in_rollback_backlog(&self) -> bool {
        !self.update.state.status.is_open() && self.rollback_processed_at.is_none()
    }

    fn with_stored_columns(mut self, stopped_ms: i64) -> Self {
        let columns = self.columns(stopped_ms).into_iter();
        self.stored = columns
            .map(|(name, value)| (name, value.into_owned()))
            .collect();
        self
    }

    /// The columns that a transaction changes.
    fn columns(&self, stopped_ms: i64) -> Columns<'_> {
        let state = &self.update.state;
        let deadlines = StoredDeadlines::of(state, stopped_ms);
        let int = |value: Option<i64>| ColumnValue::Int(value);
        let millis = |at: Option<Timestamp>| ColumnValue::Int(at.map(|at| at.0));
        let flag = |value: bool| ColumnValue::int(value);
        let name = |name: Option<&'static str>| ColumnValue::text_or_null(name);
        let (error, earlier_error) = (state.error.as_ref(), state.earlier_error.as_ref());
        let fetch_failure = state.fetch_failure.as_ref();
        vec![
            ("status", ColumnValue::text(state.status.as_str())),
            ("revision", ColumnValue::int(self.revision)),
            (
                "progress_n",
                ColumnValue::int_or_null(state.progress.map(|(n, _)| n)),
            ),
            (
                "progress_of",
                ColumnValue::int_or_null(state.progress.map(|(_, of)| of)),
            ),
            ("phase", name(state.phase.map(|phase| phase.as_str()))),
            ("file_fetch", name(state.fetch.map(|fetch| fetch.as_str()))),
            ("cancel_acknowledged", flag(state.cancel_acknowledged)),
            ("code", ColumnValue::int_or_null(state.code)),
            (
                "refusal",
                name(state.refusal.map(|refusal| refusal.as_str())),
            ),
            (
                "fetch_failed_at",
                millis(fetch_failure.map(|failure| failure.at)),
            ),
            (
                "fetch_failure",
                external_text(fetch_failure.map(|failure| failure.reason.as_str())),
            ),
            (
                "error_code",
                external_text(error.map(|error| error.code.as_str())),
            ),
            (
                "error_message",
                external_text(error.map(|error| error.message.as_str())),
            ),
            (
                "earlier_error_code",
                external_text(earlier_error.map(|error| error.code.as_str())),
            ),
            (
                "earlier_error_message",
                external_text(earlier_error.map(|error| error.message.as_str())),
            ),
            ("installed_reported", flag(state.installed_reported)),
            ("feedback_count", ColumnValue::int(self.feedback_count)),
            ("log_lines", ColumnValue::int(to_i64(self.log_lines))),
            ("cancel_requests", ColumnValue::int(self.cancel_requests)),
            ("started_at", millis(state.started_at)),
            ("completed_at", millis(state.completed_at)),
            ("timeout_at", ColumnValue::int(deadlines.timeout_at)),
            ("ends_at", ColumnValue::int(deadlines.ends_at)),
            ("soaks_until", int(deadlines.soaks_until)),
            ("waits_since", int(deadlines.waits_since)),
            ("cancel_requested_at", millis(self.cancel_requested_at)),
            ("rollback_processed_at", millis(self.rollback_processed_at)),
            (
                "rollback_action",
                name(self.rollback_action.map(|action| action.as_str())),
            ),
            ("is_retried", flag(self.update.attempt.is_retried)),
        ]
    }
}

/// The column of a text from outside.
fn external_text(text: Option<&str>) -> ColumnValue<'_> {
    ColumnValue::text_or_null(text.map(storable))
}

/// Reads these updates and all open ones of these devices, which the caller has locked.
pub(super) async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    devices: impl Iterator<Item = DeviceKey>,
    updates: &BTreeSet<UpdateId>,
) -> Result<Vec<LoadedUpdate>, StoreError> {
    const READ: &str = "read updates";
    static SQL: SqlText = SqlText::new(|dialect| {
        let of_devices = dialect.key_in_json("u.device_key", "$2");
        let by_id = dialect.key_in_json("u.id", "$3");
        let open = format!(
            "updates u WHERE +u.tenant_id = $1 AND u.completed_at IS NULL AND {of_devices}"
        );
        let ended =
            format!("updates u WHERE +u.tenant_id = $1 AND u.completed_at IS NOT NULL AND {by_id}");
        let select = |from: &str| StoredRow::select_all(dialect, "u", from);
        format!("{} UNION ALL {}", select(&open), select(&ended))
    });

    let devices: Vec<i64> = devices.map(|key| key.0).collect();
    let updates: Vec<i32> = updates.iter().map(|id| id.0).collect();
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&devices)?)
        .bind(to_json(&updates)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    from_rows(&rows, tx.stopped_ms()).map_err(row_error(READ))
}

/// Reads the cancelled retries of these devices that follow the update that ended by silence.
pub(super) async fn read_cancelled_retries(
    tx: &mut Tx,
    tenant: TenantId,
    devices: &BTreeSet<DeviceKey>,
) -> Result<Vec<LoadedUpdate>, StoreError> {
    const READ: &str = "read cancelled retries";
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let of_devices = tx.dialect().key_in_json("u.device_key", "$2");
    let cancelled = literal(UpdateStatus::Cancelled);
    let from = format!(
        "updates u \
         JOIN devices d ON d.tenant_id = u.tenant_id AND d.id = u.device_key AND u.id > d.timed_out_update_id \
         WHERE u.tenant_id = $1 AND {of_devices} AND u.retry_of IS NOT NULL AND u.status = {cancelled}"
    );
    let sql = StoredRow::select_all(tx.dialect(), "u", &from);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    from_rows(&rows, tx.stopped_ms()).map_err(row_error(READ))
}

fn from_rows(rows: &[AnyRow], stopped_ms: i64) -> Result<Vec<LoadedUpdate>, RowError> {
    let mut updates = Vec::new();
    for row in rows {
        for stored in StoredRow::read_all(row)? {
            let stored = UpdateRecord::new(stored, stopped_ms)?;
            updates.push(LoadedUpdate::stored(stored, stopped_ms));
        }
    }
    Ok(updates)
}

/// Writes the updates that changed.
pub(super) async fn write<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    updates: impl Iterator<Item = &'a LoadedUpdate>,
) -> Result<(), StoreError> {
    let stopped_ms = tx.stopped_ms();
    let rows = updates.filter_map(|loaded| {
        let id = loaded.update.id.0.into();
        ChangedRow::new(id, &loaded.stored, loaded.columns(stopped_ms))
    });
    update_rows(tx, tenant, "updates", rows.collect()).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::{
        reporting_clock::ReportingClock,
        update::{Attempt, SuccessCriteria, UpdateOptions, UpdateState},
    };

    use super::*;
    use crate::{
        tenant_counters::TenantCounters,
        test_fixture::{NOON, StoreFixture, later},
        testing::on_both,
        updates::unit_of_work::{NewUpdate, UpdateUnitOfWork, completed_at_creation},
    };

    on_both! {
        /// Only columns that differ from these are written.
        async fn the_columns_of_a_created_update_are_known_as_they_are_stored(store) {
            let fixture = StoreFixture::new(store, &[3]).await?;
            store.database.set_known_clock(ReportingClock { stopped_ms: 7000, ..ReportingClock::default() });
            let devices: BTreeSet<_> = fixture.devices.iter().copied().collect();
            let mut tx = store.database.write().await?;
            let mut work = UpdateUnitOfWork::open(&mut tx, fixture.tenant, &devices, &BTreeSet::new(), NOON).await?;
            let (criteria, options) = (SuccessCriteria::Reported, UpdateOptions::forced(Duration::from_hours(1)));
            let offered = UpdateState::offered(criteria, options.clone(), NOON);
            let mut created = BTreeSet::new();
            let completed = UpdateState { installed_reported: true, ..offered.clone() };
            let completed = completed_at_creation(completed, later(1));
            let waiting = UpdateState::waiting_approval(criteria, options.clone(), NOON);
            let scheduled = UpdateState::scheduled(criteria, options, later(60));
            // Later updates of a device wait behind the first. Those of a statement have columns in common, or not.
            for states in [
                [&offered, &offered],
                [&offered, &completed],
                [&completed, &waiting],
                [&waiting, &scheduled],
                [&scheduled, &offered],
            ] {
                let new = devices.iter().zip(states.into_iter().cycle()).map(|(device, state)| NewUpdate {
                    device: *device,
                    firmware: fixture.new,
                    campaign: None,
                    weight: 500,
                    to_version: "1.1.0".to_owned(),
                    state: state.clone(),
                    created_at: NOON,
                    attempt: Attempt::default(),
                    compatibility: None,
                    authorship: None,
                });
                let ids = work.create_updates(&mut tx, new.collect(), &mut TenantCounters::default()).await?;
                created.extend(ids.into_values());
            }
            assert_eq!(created.len(), 15);
            let stored = read(&mut tx, fixture.tenant, devices.into_iter(), &created).await?;
            let stored: Vec<_> = stored.iter().filter(|loaded| created.contains(&loaded.update.id)).collect();
            assert_eq!(stored.len(), created.len());
            for stored in stored {
                let known = work.loaded(stored.update.id).map(|loaded| &loaded.stored);
                assert_eq!(known, Some(&stored.stored));
            }
        }
    }
}
