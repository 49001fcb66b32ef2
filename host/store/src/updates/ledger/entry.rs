use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    feedback::Execution,
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
    update::{Progress, Purpose, Try, Update},
};
use tidegate_engine::ports::StoreError;

use super::overwrite::{NewRow, overwrite};
use crate::{
    database::Tx,
    dialect::{Dialect, Type, storable},
    error::failed,
    rows::{BadRow, Columns as _, bad_row, to_json},
    terms::{TERMS, TermsRow, soak_millis},
    updates::row,
};

/// An update as a transaction works on it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) update: Update,
    pub(crate) revision: i32,
    /// How many feedbacks are kept of it.
    pub(crate) feedbacks: u32,
    /// How many lines its log has had.
    pub(crate) log_lines: u64,
    /// How often it was called back.
    pub(crate) call_backs: u32,
    pub(crate) called_back_at: Option<Timestamp>,
    pub(crate) looked_at: Option<Timestamp>,
    /// Whether it is to be written.
    pub(crate) changed: bool,
}

/// An update to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewUpdate {
    pub(crate) device: DeviceKey,
    pub(crate) firmware: FirmwareId,
    /// Its campaign, and what it is there for; none: an operator made it, or the device's mode.
    pub(crate) campaign: Option<(CampaignId, Purpose)>,
    pub(crate) weight: i32,
    pub(crate) to_version: String,
    pub(crate) progress: Progress,
    pub(crate) created_at: Timestamp,
    /// Which try it is.
    pub(crate) attempt: Try,
}

/// What a device runs when an update is made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) version: Option<String>,
    pub(super) firmware: Option<FirmwareId>,
}

/// Reads these updates, and all open ones of these devices, which the caller has locked.
pub(super) async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    devices: impl Iterator<Item = DeviceKey>,
    updates: &BTreeSet<UpdateId>,
) -> Result<Vec<Entry>, StoreError> {
    const READ: &str = "read updates";
    let devices: Vec<i64> = devices.map(|key| key.0).collect();
    let updates: Vec<i32> = updates.iter().map(|id| id.0).collect();
    let of_devices = tx.dialect().among("u.device_id", "$2");
    let by_id = tx.dialect().among("u.id", "$3");
    let columns = row::COLUMNS;
    let sql = format!(
        "SELECT {columns}, u.feedbacks, u.log_lines, u.call_backs, u.called_back_at, u.looked_at FROM updates u \
         WHERE +u.tenant_id = $1 AND u.completed_at IS NULL AND {of_devices} \
         UNION ALL \
         SELECT {columns}, u.feedbacks, u.log_lines, u.call_backs, u.called_back_at, u.looked_at FROM updates u \
         WHERE +u.tenant_id = $1 AND u.completed_at IS NOT NULL AND {by_id}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&devices)?)
        .bind(to_json(&updates)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| {
            let (update, revision) = row::update(row)?;
            Ok::<_, BadRow>(Entry {
                update,
                revision,
                feedbacks: u32::try_from(row.count("feedbacks")?).unwrap_or(u32::MAX),
                log_lines: row.count("log_lines")?,
                call_backs: u32::try_from(row.count("call_backs")?).unwrap_or(u32::MAX),
                called_back_at: row.take::<Option<i64>>("called_back_at")?.map(Timestamp),
                looked_at: row.take::<Option<i64>>("looked_at")?.map(Timestamp),
                changed: false,
            })
        })
        .collect::<Result<_, _>>()
        .map_err(bad_row(READ))
}

#[derive(Serialize)]
struct EntryJson<'a> {
    id: i32,
    status: &'static str,
    revision: i32,
    progress_n: Option<u32>,
    progress_of: Option<u32>,
    phase: Option<&'static str>,
    code: Option<i32>,
    error_code: Option<std::borrow::Cow<'a, str>>,
    error_message: Option<std::borrow::Cow<'a, str>>,
    went_over: i64,
    feedbacks: u32,
    log_lines: u64,
    call_backs: u32,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    timeout_at: i64,
    ends_at: i64,
    soaks_until: Option<i64>,
    called_back_at: Option<i64>,
    looked_at: Option<i64>,
    is_retried: i64,
}

impl NewRow for EntryJson<'_> {
    const TABLE: &'static str = "updates";
    const WRITING: &'static str = "write updates";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("status", Type::Text),
        ("revision", Type::Int),
        ("progress_n", Type::Int),
        ("progress_of", Type::Int),
        ("phase", Type::Text),
        ("code", Type::Int),
        ("error_code", Type::Text),
        ("error_message", Type::Text),
        ("went_over", Type::Int),
        ("feedbacks", Type::Int),
        ("log_lines", Type::Int),
        ("call_backs", Type::Int),
        ("started_at", Type::Int),
        ("completed_at", Type::Int),
        ("timeout_at", Type::Int),
        ("ends_at", Type::Int),
        ("soaks_until", Type::Int),
        ("called_back_at", Type::Int),
        ("looked_at", Type::Int),
        ("is_retried", Type::Int),
    ];

    fn id(&self) -> i64 {
        self.id.into()
    }
}

/// Writes what changed.
pub(super) async fn write<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    changed: impl Iterator<Item = &'a Entry>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = changed.map(json).collect();
    overwrite(tx, tenant, &rows).await
}

fn json(entry: &Entry) -> EntryJson<'_> {
    let progress = &entry.update.progress;
    let millis = |at: Option<Timestamp>| at.map(|at| at.0);
    EntryJson {
        id: entry.update.id.0,
        status: progress.status.as_str(),
        revision: entry.revision,
        progress_n: progress.progress.map(|(n, _)| n),
        progress_of: progress.progress.map(|(_, of)| of),
        phase: progress.phase.map(Execution::as_str),
        code: progress.code,
        error_code: progress.error.as_ref().map(|error| storable(&error.code)),
        error_message: progress
            .error
            .as_ref()
            .map(|error| storable(&error.message)),
        went_over: i64::from(progress.went_over),
        feedbacks: entry.feedbacks,
        log_lines: entry.log_lines,
        call_backs: entry.call_backs,
        started_at: millis(progress.started_at),
        completed_at: millis(progress.completed_at),
        timeout_at: progress.timeout_at.0,
        ends_at: progress.ends_at.0,
        soaks_until: millis(progress.soaks_until),
        called_back_at: millis(entry.called_back_at),
        looked_at: millis(entry.looked_at),
        is_retried: i64::from(entry.update.attempt.is_retried),
    }
}

#[derive(Serialize)]
struct NewJson<'a> {
    device_id: i64,
    firmware_id: i64,
    campaign_id: Option<i64>,
    purpose: Option<&'static str>,
    wave: Option<u32>,
    weight: i32,
    status: &'static str,
    proof: &'static str,
    soak_ms: Option<i64>,
    from_version: Option<&'a str>,
    to_version: &'a str,
    from_firmware_id: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    timeout_at: i64,
    ends_at: i64,
    went_over: i64,
    retry_count: u32,
    retry_of: Option<i32>,
    scheduled_at: Option<i64>,
    #[serde(flatten)]
    terms: TermsRow,
}

const NEW: [(&str, Type); 21] = [
    ("device_id", Type::Int),
    ("firmware_id", Type::Int),
    ("campaign_id", Type::Int),
    ("purpose", Type::Text),
    ("wave", Type::Int),
    ("weight", Type::Int),
    ("status", Type::Text),
    ("proof", Type::Text),
    ("soak_ms", Type::Int),
    ("from_version", Type::Text),
    ("to_version", Type::Text),
    ("from_firmware_id", Type::Int),
    ("created_at", Type::Int),
    ("started_at", Type::Int),
    ("completed_at", Type::Int),
    ("timeout_at", Type::Int),
    ("ends_at", Type::Int),
    ("went_over", Type::Int),
    ("retry_count", Type::Int),
    ("retry_of", Type::Int),
    ("scheduled_at", Type::Int),
];

/// Makes updates; each comes with what its device ran before.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    new: &[(NewUpdate, Ran)],
) -> Result<Vec<(DeviceKey, UpdateId)>, StoreError> {
    const MAKE: &str = "make updates";
    let rows = new.iter().map(new_json).collect::<Result<Vec<_>, _>>()?;
    let sql = insert_sql(tx.dialect());
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&rows)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(MAKE))?;
    rows.iter()
        .map(|row| Ok((DeviceKey(row.take("device_id")?), UpdateId(row.take("id")?))))
        .collect::<Result<_, _>>()
        .map_err(bad_row(MAKE))
}

fn insert_sql(dialect: Dialect) -> String {
    let columns = [&NEW[..], &TERMS].concat();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let from = dialect.rows("n", "$2", &columns);
    format!(
        "INSERT INTO updates (tenant_id, revision, feedbacks, call_backs, log_lines, is_retried, {names}) \
         SELECT $1, 0, 0, 0, 0, 0, {names} FROM {from} RETURNING id, device_id"
    )
}

fn new_json((new, from): &(NewUpdate, Ran)) -> Result<NewJson<'_>, StoreError> {
    let (purpose, wave) = match new.campaign {
        Some((_, Purpose::Forward { wave })) => (Some(row::FORWARD), Some(wave)),
        Some((_, Purpose::Return)) => (Some(row::RETURN), None),
        None => (None, None),
    };
    let millis = |at: Option<Timestamp>| at.map(|at| at.0);
    Ok(NewJson {
        device_id: new.device.0,
        firmware_id: new.firmware.0,
        campaign_id: new.campaign.map(|(campaign, _)| campaign.0),
        purpose,
        wave,
        weight: new.weight,
        status: new.progress.status.as_str(),
        proof: new.progress.proof.as_str(),
        soak_ms: soak_millis(new.progress.proof),
        from_version: from.version.as_deref(),
        to_version: &new.to_version,
        from_firmware_id: from.firmware.map(|id| id.0),
        created_at: new.created_at.0,
        started_at: millis(new.progress.started_at),
        completed_at: millis(new.progress.completed_at),
        timeout_at: new.progress.timeout_at.0,
        ends_at: new.progress.ends_at.0,
        went_over: i64::from(new.progress.went_over),
        retry_count: new.attempt.count,
        retry_of: new.attempt.first.map(|id| id.0),
        scheduled_at: millis(new.attempt.scheduled_at),
        terms: TermsRow::new(&new.progress.terms)?,
    })
}
