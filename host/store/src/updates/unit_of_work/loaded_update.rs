use std::collections::BTreeSet;

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

use super::update_rows::{UpdatableRow, update_rows, update_sql};
use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    sql::{SqlText, literal},
    update_options::{UPDATE_OPTION_COLUMNS, UpdateOptionsRow},
    updates::{authorship, compatibility, deadlines::StoredDeadlines, row},
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
    /// Whether it must be written.
    pub(crate) changed: bool,
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
        let columns = columns();
        format!(
            "SELECT {columns} FROM updates u \
             WHERE +u.tenant_id = $1 AND u.completed_at IS NULL AND {of_devices} \
             UNION ALL \
             SELECT {columns} FROM updates u \
             WHERE +u.tenant_id = $1 AND u.completed_at IS NOT NULL AND {by_id}"
        )
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
    let stopped_ms = tx.stopped_ms();
    rows.iter()
        .map(|row| from_row(row, stopped_ms))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
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
    let (columns, cancelled) = (columns(), literal(UpdateStatus::Cancelled));
    let sql = format!(
        "SELECT {columns} FROM updates u \
         JOIN devices d ON d.tenant_id = u.tenant_id AND d.id = u.device_key AND u.id > d.timed_out_update_id \
         WHERE u.tenant_id = $1 AND {of_devices} AND u.retry_of IS NOT NULL AND u.status = {cancelled}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let stopped_ms = tx.stopped_ms();
    rows.iter()
        .map(|row| from_row(row, stopped_ms))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

/// The columns of an update `u` that [`from_row`] reads.
fn columns() -> String {
    let of_update = row::columns();
    format!(
        "{of_update}, u.feedback_count, u.log_lines, u.cancel_requests, u.cancel_requested_at, u.rollback_processed_at, u.rollback_action"
    )
}

fn from_row(row: &AnyRow, stopped_ms: i64) -> Result<LoadedUpdate, RowError> {
    let (update, revision) = row::update(row, stopped_ms)?;
    Ok(LoadedUpdate {
        update,
        revision,
        feedback_count: u32::try_from(row.count("feedback_count")?).unwrap_or(u32::MAX),
        log_lines: row.count("log_lines")?,
        cancel_requests: u32::try_from(row.count("cancel_requests")?).unwrap_or(u32::MAX),
        cancel_requested_at: row
            .take::<Option<i64>>("cancel_requested_at")?
            .map(Timestamp),
        rollback_processed_at: row
            .take::<Option<i64>>("rollback_processed_at")?
            .map(Timestamp),
        rollback_action: row.parse_optional("rollback_action")?,
        changed: false,
    })
}

#[derive(Serialize)]
struct LoadedUpdateJson<'a> {
    id: i32,
    status: &'static str,
    revision: i32,
    progress_n: Option<u32>,
    progress_of: Option<u32>,
    phase: Option<&'static str>,
    file_fetch: Option<&'static str>,
    cancel_acknowledged: i64,
    code: Option<i32>,
    refusal: Option<&'static str>,
    fetch_failed_at: Option<i64>,
    fetch_failure: Option<std::borrow::Cow<'a, str>>,
    error_code: Option<std::borrow::Cow<'a, str>>,
    error_message: Option<std::borrow::Cow<'a, str>>,
    // Few updates have one, and a missing field is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_error_code: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_error_message: Option<std::borrow::Cow<'a, str>>,
    installed_reported: i64,
    feedback_count: u32,
    log_lines: u64,
    cancel_requests: u32,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    timeout_at: i64,
    ends_at: i64,
    soaks_until: Option<i64>,
    waits_since: Option<i64>,
    cancel_requested_at: Option<i64>,
    rollback_processed_at: Option<i64>,
    rollback_action: Option<&'static str>,
    is_retried: i64,
}

impl UpdatableRow for LoadedUpdateJson<'_> {
    const TABLE: &'static str = "updates";
    const CONTEXT: &'static str = "write updates";
    const COLUMNS: &'static [(&'static str, ColumnType)] = &[
        ("status", ColumnType::Text),
        ("revision", ColumnType::Int),
        ("progress_n", ColumnType::Int),
        ("progress_of", ColumnType::Int),
        ("phase", ColumnType::Text),
        ("file_fetch", ColumnType::Text),
        ("cancel_acknowledged", ColumnType::Int),
        ("code", ColumnType::Int),
        ("refusal", ColumnType::Text),
        ("fetch_failed_at", ColumnType::Int),
        ("fetch_failure", ColumnType::Text),
        ("error_code", ColumnType::Text),
        ("error_message", ColumnType::Text),
        ("earlier_error_code", ColumnType::Text),
        ("earlier_error_message", ColumnType::Text),
        ("installed_reported", ColumnType::Int),
        ("feedback_count", ColumnType::Int),
        ("log_lines", ColumnType::Int),
        ("cancel_requests", ColumnType::Int),
        ("started_at", ColumnType::Int),
        ("completed_at", ColumnType::Int),
        ("timeout_at", ColumnType::Int),
        ("ends_at", ColumnType::Int),
        ("soaks_until", ColumnType::Int),
        ("waits_since", ColumnType::Int),
        ("cancel_requested_at", ColumnType::Int),
        ("rollback_processed_at", ColumnType::Int),
        ("rollback_action", ColumnType::Text),
        ("is_retried", ColumnType::Int),
    ];

    fn id(&self) -> i64 {
        self.id.into()
    }

    fn update_text() -> &'static SqlText {
        static SQL: SqlText = SqlText::new(update_sql::<LoadedUpdateJson<'static>>);
        &SQL
    }
}

pub(super) async fn write<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    changed: impl Iterator<Item = &'a LoadedUpdate>,
) -> Result<(), StoreError> {
    let stopped_ms = tx.stopped_ms();
    let rows: Vec<_> = changed.map(|loaded| json(loaded, stopped_ms)).collect();
    update_rows(tx, tenant, &rows).await
}

fn json(loaded: &LoadedUpdate, stopped_ms: i64) -> LoadedUpdateJson<'_> {
    let state = &loaded.update.state;
    let deadlines = StoredDeadlines::of(state, stopped_ms);
    let millis = |at: Option<Timestamp>| at.map(|at| at.0);
    let (error, earlier_error) = (state.error.as_ref(), state.earlier_error.as_ref());
    LoadedUpdateJson {
        id: loaded.update.id.0,
        status: state.status.as_str(),
        revision: loaded.revision,
        progress_n: state.progress.map(|(n, _)| n),
        progress_of: state.progress.map(|(_, of)| of),
        phase: state.phase.map(|phase| phase.as_str()),
        file_fetch: state.fetch.map(|fetch| fetch.as_str()),
        cancel_acknowledged: i64::from(state.cancel_acknowledged),
        code: state.code,
        refusal: state.refusal.map(|refusal| refusal.as_str()),
        fetch_failed_at: state.fetch_failure.as_ref().map(|failure| failure.at.0),
        fetch_failure: state
            .fetch_failure
            .as_ref()
            .map(|failure| storable(&failure.reason)),
        error_code: error.map(|error| storable(&error.code)),
        error_message: error.map(|error| storable(&error.message)),
        earlier_error_code: earlier_error.map(|error| storable(&error.code)),
        earlier_error_message: earlier_error.map(|error| storable(&error.message)),
        installed_reported: i64::from(state.installed_reported),
        feedback_count: loaded.feedback_count,
        log_lines: loaded.log_lines,
        cancel_requests: loaded.cancel_requests,
        started_at: millis(state.started_at),
        completed_at: millis(state.completed_at),
        timeout_at: deadlines.timeout_at,
        ends_at: deadlines.ends_at,
        soaks_until: deadlines.soaks_until,
        waits_since: deadlines.waits_since,
        cancel_requested_at: millis(loaded.cancel_requested_at),
        rollback_processed_at: millis(loaded.rollback_processed_at),
        rollback_action: loaded.rollback_action.map(|action| action.as_str()),
        is_retried: i64::from(loaded.update.attempt.is_retried),
    }
}

#[derive(Serialize)]
struct NewUpdateJson<'a> {
    device_key: i64,
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

const NEW_UPDATE_COLUMNS: [(&str, ColumnType); 22] = [
    ("device_key", ColumnType::Int),
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

/// Creates updates; each with what its device had installed before.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    new: &[(NewUpdate, PreviousInstallation)],
) -> Result<Vec<(DeviceKey, UpdateId)>, StoreError> {
    const CREATE: &str = "create updates";
    static SQL: SqlText = SqlText::new(insert_sql);

    let stopped_ms = tx.stopped_ms();
    let rows = new
        .iter()
        .map(|new| new_update_json(new, stopped_ms))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&rows)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(CREATE))?;
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

fn insert_sql(dialect: Dialect) -> String {
    let columns = [&NEW_UPDATE_COLUMNS[..], UPDATE_OPTION_COLUMNS].concat();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let from = dialect.json_rows("n", "$2", &columns);
    format!(
        "INSERT INTO updates (tenant_id, revision, feedback_count, cancel_requests, log_lines, is_retried, {names}) \
         SELECT $1, 0, 0, 0, 0, 0, {names} FROM {from} RETURNING id, device_key"
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
        device_key: new.device.0,
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
