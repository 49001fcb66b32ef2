use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    Named as _,
    device::DeviceState,
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::{DeviceMode, Eligibility},
    time::Timestamp,
    update::Update,
    version::sort_key,
};
use tidegate_engine::ports::{OldToken, StoreError};

use super::update_rows::{UpdatableRow, update_rows};
use crate::{
    access::{TOKEN_COLUMNS, old_token},
    database::Tx,
    dialect::ColumnType,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    tenant_counters::{DeviceTraits, TenantCounters},
};

/// The columns that updates and reports change, and the ones that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRow {
    pub(crate) device_id: String,
    pub(crate) state: DeviceState,
    pub(crate) hw_model: Option<String>,
    pub(crate) hw_revision: Option<String>,
    pub(crate) sw_version: Option<String>,
    pub(crate) installed_firmware: Option<FirmwareId>,
    pub(crate) installed_update: Option<UpdateId>,
    /// The update that failed or that ended because its device was silent (its time ran out, or that of its
    /// cancellation), until the device is offered a later one or completes one. The column is `timed_out_update_id`.
    pub(crate) failed_update: Option<UpdateId>,
    /// The version of the last completed update.
    pub(crate) expected_version: Option<String>,
    /// Since when the device reports another version than `expected_version`.
    pub(crate) drifted_at: Option<Timestamp>,
    /// The sequence number of the last attribute change.
    pub(crate) attribute_change_seq: i64,
    pub(crate) mode: DeviceMode,
    pub(crate) pinned: bool,
    pub(crate) feed: Option<String>,
    pub(crate) wants_attributes: bool,
    pub(crate) token_sha256: Option<[u8; 32]>,
    pub(crate) old_token: Option<Box<OldToken>>,
    /// Whether auto-confirm is active. Not written here.
    pub(crate) auto_confirms: bool,
    pub(crate) polling_seconds: Option<u32>,
}

impl DeviceRow {
    /// Whether no selector distinguishes the two.
    pub(super) fn same_to_selectors(&self, other: &Self) -> bool {
        self.state == other.state
            && self.hw_model == other.hw_model
            && self.hw_revision == other.hw_revision
            && self.sw_version == other.sw_version
            && self.drifted_at == other.drifted_at
    }

    /// The values that decide whether campaigns skip the device.
    pub(crate) fn eligibility(&self) -> Eligibility<'_> {
        Eligibility {
            mode: self.mode,
            pinned: self.pinned,
            feed: self.feed.as_deref(),
        }
    }

    /// Whether the device is in mode `latest` and the change may have outdated it.
    pub(super) fn may_need_latest(&self, before: &Self) -> bool {
        let relevant = |device: &Self| {
            let known = (device.hw_model.clone(), device.hw_revision.clone());
            (
                device.state,
                known,
                device.sw_version.clone(),
                device.drifted_at,
            )
        };
        self.mode == DeviceMode::Latest && relevant(self) != relevant(before)
    }

    /// Sets the firmware of this update as installed.
    pub(super) fn set_installed(&mut self, update: &Update) {
        self.installed_firmware = Some(update.firmware);
        self.installed_update = Some(update.id);
        self.sw_version = Some(update.to_version.clone());
        self.expected_version = Some(update.to_version.clone());
        self.drifted_at = None;
        self.failed_update = None;
    }

    pub(super) fn traits(&self) -> DeviceTraits {
        DeviceTraits {
            state: self.state,
            sw_version: self.sw_version.clone(),
            hw_model: self.hw_model.clone(),
            drifted: self.drifted_at.is_some(),
        }
    }
}

/// Reads and locks these devices in the order of their keys.
pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &BTreeSet<DeviceKey>,
) -> Result<BTreeMap<DeviceKey, DeviceRow>, StoreError> {
    const READ: &str = "read devices";
    let (condition, lock) = (
        tx.dialect().key_in_json("id", "$2"),
        tx.dialect().for_update(),
    );
    let sql = format!(
        "SELECT id, device_id, state, hw_model, hw_revision, sw_version, installed_firmware_id, installed_update_id, \
         timed_out_update_id, expected_version, drifted_at, attribute_change_seq, mode, pinned, feed, wants_attributes, auto_confirm_at, \
         {TOKEN_COLUMNS}, polling_seconds FROM devices \
         WHERE +tenant_id = $1 AND {condition} ORDER BY id{lock}"
    );
    let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| Ok((DeviceKey(row.take("id")?), from_row(row)?)))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

fn from_row(row: &AnyRow) -> Result<DeviceRow, RowError> {
    Ok(DeviceRow {
        device_id: row.take("device_id")?,
        state: row.parse("state")?,
        hw_model: row.take("hw_model")?,
        hw_revision: row.take("hw_revision")?,
        sw_version: row.take("sw_version")?,
        installed_firmware: row
            .take::<Option<i64>>("installed_firmware_id")?
            .map(FirmwareId),
        installed_update: row
            .take::<Option<i32>>("installed_update_id")?
            .map(UpdateId),
        failed_update: row
            .take::<Option<i32>>("timed_out_update_id")?
            .map(UpdateId),
        expected_version: row.take("expected_version")?,
        drifted_at: row.take::<Option<i64>>("drifted_at")?.map(Timestamp),
        attribute_change_seq: row.take("attribute_change_seq")?,
        mode: row.parse("mode")?,
        pinned: row.flag("pinned")?,
        feed: row.take("feed")?,
        wants_attributes: row.flag("wants_attributes")?,
        token_sha256: row.hex_optional("token_sha256")?,
        old_token: old_token(row)?,
        auto_confirms: row.take::<Option<i64>>("auto_confirm_at")?.is_some(),
        polling_seconds: row.optional_u32("polling_seconds")?,
    })
}

#[derive(Serialize)]
struct DeviceJson<'a> {
    id: i64,
    state: &'static str,
    hw_model: Option<&'a str>,
    hw_revision: Option<&'a str>,
    hw_revision_key: Option<String>,
    sw_version: Option<&'a str>,
    sw_version_key: Option<String>,
    installed_firmware_id: Option<i64>,
    installed_update_id: Option<i32>,
    timed_out_update_id: Option<i32>,
    expected_version: Option<&'a str>,
    drifted_at: Option<i64>,
    attribute_change_seq: i64,
    wants_attributes: i64,
}

impl UpdatableRow for DeviceJson<'_> {
    const TABLE: &'static str = "devices";
    const CONTEXT: &'static str = "write devices";
    const COLUMNS: &'static [(&'static str, ColumnType)] = &[
        ("state", ColumnType::Text),
        ("hw_model", ColumnType::Text),
        ("hw_revision", ColumnType::Text),
        ("hw_revision_key", ColumnType::Text),
        ("sw_version", ColumnType::Text),
        ("sw_version_key", ColumnType::Text),
        ("installed_firmware_id", ColumnType::Int),
        ("installed_update_id", ColumnType::Int),
        ("timed_out_update_id", ColumnType::Int),
        ("expected_version", ColumnType::Text),
        ("drifted_at", ColumnType::Int),
        ("attribute_change_seq", ColumnType::Int),
        ("wants_attributes", ColumnType::Int),
    ];

    fn id(&self) -> i64 {
        self.id
    }
}

/// Writes the changed devices and counts them; each with its row before and after the change.
pub(super) async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    changed: &[(DeviceKey, &DeviceRow, &DeviceRow)],
    tenant_counters: &mut TenantCounters,
) -> Result<(), StoreError> {
    let rows: Vec<_> = changed
        .iter()
        .map(|(key, before, after)| {
            tenant_counters.count_device(tenant, Some(&before.traits()), &after.traits());
            DeviceJson {
                id: key.0,
                state: after.state.as_str(),
                hw_model: after.hw_model.as_deref(),
                hw_revision: after.hw_revision.as_deref(),
                hw_revision_key: after.hw_revision.as_deref().map(sort_key),
                sw_version: after.sw_version.as_deref(),
                sw_version_key: after.sw_version.as_deref().map(sort_key),
                installed_firmware_id: after.installed_firmware.map(|id| id.0),
                installed_update_id: after.installed_update.map(|id| id.0),
                timed_out_update_id: after.failed_update.map(|id| id.0),
                expected_version: after.expected_version.as_deref(),
                drifted_at: after.drifted_at.map(|at| at.0),
                attribute_change_seq: after.attribute_change_seq,
                wants_attributes: i64::from(after.wants_attributes),
            }
        })
        .collect();
    update_rows(tx, tenant, &rows).await
}
