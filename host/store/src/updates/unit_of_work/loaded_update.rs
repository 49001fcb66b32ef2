use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    Named as _,
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    rollback::RollbackActionName,
    time::Timestamp,
    update::{
        Attempt, CompatibilityBasis, Purpose, PurposeName, Update, UpdateState, UpdateStatus,
    },
};
use tidegate_engine::ports::{StoreError, UpdateAuthorship};

use super::update_rows::{ChangedRow, ColumnValue, Columns, update_rows};
use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect, storable},
    error::failed,
    json_row::JsonRow as _,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    sql::{SqlText, literal},
    update_options::{UPDATE_OPTION_COLUMNS, UpdateOptionsRow},
    updates::{
        authorship, compatibility,
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

/// An update to be created.
#[derive(Debug, Clone)]
pub(crate) struct NewUpdate {
    pub(crate) device: DeviceKey,
    pub(crate) firmware: FirmwareId,
    /// The campaign and the purpose; none for updates by an operator or by the mode `latest`.
    pub(crate) campaign: Option<(CampaignId, Purpose)>,
    pub(crate) weight: i32,
    pub(crate) to_version: String,
    pub(crate) state: UpdateState,
    pub(crate) created_at: Timestamp,
    pub(crate) attempt: Attempt,
    pub(crate) compatibility: Option<CompatibilityBasis>,
    /// None for updates that no operator requested as such.
    pub(crate) authorship: Option<UpdateAuthorship>,
}

/// What the device had installed when the update was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PreviousInstallation {
    pub(super) version: Option<String>,
    pub(super) firmware: Option<FirmwareId>,
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

/// The columns of new updates, which those of a wave have in common, or nearly all of them.
#[derive(PartialEq, Eq, Hash, Serialize)]
struct NewUpdateJson<'a> {
    firmware_id: i64,
    campaign_id: Option<i64>,
    purpose: Option<&'static str>,
    wave: Option<u32>,
    weight: i32,
    status: &'static str,
    from_version: Option<&'a str>,
    to_version: &'a str,
    from_firmware_id: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    timeout_at: i64,
    ends_at: i64,
    waits_since: Option<i64>,
    installed_reported: i64,
    retry_count: u32,
    retry_of: Option<i32>,
    scheduled_at: Option<i64>,
    compatibility: Option<String>,
    authorship: Option<String>,
    #[serde(flatten)]
    options: UpdateOptionsRow,
}

#[derive(Serialize)]
struct NumberedColumns<'a> {
    number: usize,
    #[serde(flatten)]
    columns: NewUpdateJson<'a>,
}

/// A device with the number of the columns of its new update.
#[derive(Serialize)]
struct NewUpdateDevice {
    device_key: i64,
    number: usize,
    position: usize,
}

const NEW_UPDATE_COLUMNS: [(&str, ColumnType); 21] = [
    ("firmware_id", ColumnType::Int),
    ("campaign_id", ColumnType::Int),
    ("purpose", ColumnType::Text),
    ("wave", ColumnType::Int),
    ("weight", ColumnType::Int),
    ("status", ColumnType::Text),
    ("from_version", ColumnType::Text),
    ("to_version", ColumnType::Text),
    ("from_firmware_id", ColumnType::Int),
    ("created_at", ColumnType::Int),
    ("started_at", ColumnType::Int),
    ("completed_at", ColumnType::Int),
    ("timeout_at", ColumnType::Int),
    ("ends_at", ColumnType::Int),
    ("waits_since", ColumnType::Int),
    ("installed_reported", ColumnType::Int),
    ("retry_count", ColumnType::Int),
    ("retry_of", ColumnType::Int),
    ("scheduled_at", ColumnType::Int),
    ("compatibility", ColumnType::Text),
    ("authorship", ColumnType::Text),
];

/// Creates updates; each with what its device had installed before. The columns that many have in common are taken out of
/// the JSON once.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    new: &[(NewUpdate, PreviousInstallation)],
) -> Result<Vec<(DeviceKey, UpdateId)>, StoreError> {
    const CREATE: &str = "create updates";
    static SQL: SqlText = SqlText::new(insert_sql);

    let stopped_ms = tx.stopped_ms();
    let mut numbers: HashMap<NewUpdateJson<'_>, usize> = HashMap::new();
    let mut devices = Vec::with_capacity(new.len());
    for (position, new) in new.iter().enumerate() {
        let next = numbers.len();
        let columns = new_update_json(new, stopped_ms)?;
        devices.push(NewUpdateDevice {
            device_key: new.0.device.0,
            number: *numbers.entry(columns).or_insert(next),
            position,
        });
    }
    let columns = numbers.into_iter();
    let columns: Vec<_> = columns
        .map(|(columns, number)| NumberedColumns { number, columns })
        .collect();
    tx.keep_plans().await?;
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&columns)?)
        .bind(to_json(&devices)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(CREATE))?;
    tx.plan_every_statement().await?;
    rows.iter()
        .map(|row| {
            Ok((
                DeviceKey(row.take("device_key")?),
                UpdateId(row.take("id")?),
            ))
        })
        .collect::<Result<_, _>>()
        .map_err(row_error(CREATE))
}

/// Creates the updates of the devices in the JSON `$3`, in that order, whose columns are in the JSON `$2`.
fn insert_sql(dialect: Dialect) -> String {
    let number = ("number", ColumnType::Int);
    let columns = [&NEW_UPDATE_COLUMNS[..], UPDATE_OPTION_COLUMNS].concat();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let columns = dialect.json_rows("c", "$2", &[&[number], &columns[..]].concat());
    let device = [
        ("device_key", ColumnType::Int),
        number,
        ("position", ColumnType::Int),
    ];
    let devices = dialect.json_rows("d", "$3", &device);
    // Without the materialization, SQLite would read the columns from the JSON again for every device.
    format!(
        "INSERT INTO updates (tenant_id, revision, feedback_count, cancel_requests, log_lines, is_retried, device_key, {names}) \
         WITH new AS MATERIALIZED (SELECT number, {names} FROM {columns}) \
         SELECT $1, 0, 0, 0, 0, 0, d.device_key, {names} FROM {devices} CROSS JOIN new WHERE new.number = d.number \
         ORDER BY d.position RETURNING id, device_key"
    )
}

fn new_update_json(
    (new, from): &(NewUpdate, PreviousInstallation),
    stopped_ms: i64,
) -> Result<NewUpdateJson<'_>, StoreError> {
    let purpose = new.campaign.map(|(_, purpose)| purpose);
    let wave = match purpose {
        Some(Purpose::Forward { wave }) => Some(wave),
        Some(Purpose::Rollback) | None => None,
    };
    let purpose = purpose.map(|purpose| PurposeName::from(purpose).as_str());
    let millis = |at: Option<Timestamp>| at.map(|at| at.0);
    let deadlines = StoredDeadlines::of(&new.state, stopped_ms);
    Ok(NewUpdateJson {
        firmware_id: new.firmware.0,
        campaign_id: new.campaign.map(|(campaign, _)| campaign.0),
        purpose,
        wave,
        weight: new.weight,
        status: new.state.status.as_str(),
        from_version: from.version.as_deref(),
        to_version: &new.to_version,
        from_firmware_id: from.firmware.map(|id| id.0),
        created_at: new.created_at.0,
        started_at: millis(new.state.started_at),
        completed_at: millis(new.state.completed_at),
        timeout_at: deadlines.timeout_at,
        ends_at: deadlines.ends_at,
        waits_since: deadlines.waits_since,
        installed_reported: i64::from(new.state.installed_reported),
        retry_count: new.attempt.count,
        retry_of: new.attempt.first.map(|id| id.0),
        scheduled_at: millis(new.attempt.scheduled_at),
        compatibility: compatibility::to_text(new.compatibility.as_ref())?,
        authorship: authorship::to_text(new.authorship.as_ref())?,
        options: UpdateOptionsRow::new(&new.state.options, new.state.success_criteria)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::{
        reporting_clock::ReportingClock,
        update::{SuccessCriteria, UpdateOptions},
    };

    use super::*;
    use crate::{
        tenant_counters::TenantCounters,
        test_fixture::{NOON, StoreFixture, later},
        testing::on_both,
        updates::unit_of_work::{UpdateUnitOfWork, completed_at_creation},
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
