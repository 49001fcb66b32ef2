//! The insertion of new updates.

use std::collections::HashMap;

use serde::Serialize;
use tidegate_core::{
    Named as _,
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
    update::{Attempt, CompatibilityBasis, Purpose, PurposeName, UpdateState},
};
use tidegate_engine::ports::{StoreError, UpdateAuthorship};

use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
    update_options::{UPDATE_OPTION_COLUMNS, UpdateOptionsRow},
    updates::{authorship, compatibility, deadlines::StoredDeadlines},
};

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
    tx.has_added("updates", rows.len());
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
