use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    Named as _,
    device::DeviceState,
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    mode::{DeviceMode, Eligibility},
    time::Timestamp,
    update::Update,
    version::sort_key,
    version_changes::VersionChanges,
};
use tidegate_engine::ports::{OldToken, StoreError};

use super::update_rows::{ChangedRow, ColumnValue, Columns, update_rows};
use crate::{
    database::Tx,
    error::failed,
    json_row::{Flag, Hex, JsonRow as _, Name, json_row},
    rows::{row_error, to_json},
    sql::SqlText,
    tenant_counters::{CountedValue, DeviceTraits, TenantCounters},
};

/// The columns that updates and reports change, and the ones that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent columns of a device"
)]
pub(crate) struct DeviceRow {
    pub(crate) device_id: String,
    pub(crate) state: DeviceState,
    pub(crate) hw_model: Option<String>,
    pub(crate) hw_revision: Option<String>,
    pub(crate) sw_version: Option<String>,
    version_changes: VersionChanges,
    /// The version that the device is counted with while its version is unstable.
    counted_version: Option<String>,
    /// Whether its version, and its model, is counted among the others.
    other_version: bool,
    other_model: bool,
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

    /// Whether no campaign distinguishes the two when it selects its devices.
    pub(super) fn same_to_campaigns(&self, other: &Self) -> bool {
        self.same_to_selectors(other) && self.attribute_change_seq == other.attribute_change_seq
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

    /// Sets the version. A change ends or begins its instability.
    pub(crate) fn set_version(&mut self, version: &str, now: Timestamp) {
        let before = self.sw_version.replace(version.to_owned());
        let Some(before) = before.filter(|before| before != version) else {
            return;
        };
        self.version_changes.add(now);
        if self.version_changes.is_unstable {
            self.counted_version.get_or_insert(before);
        } else {
            self.counted_version = None;
        }
    }

    /// Counts the device with its version again after a calm hour.
    pub(crate) fn end_instability(&mut self, now: Timestamp) {
        self.version_changes.end_instability(now);
        if !self.version_changes.is_unstable {
            self.counted_version = None;
        }
    }

    /// Counts a changed version or model by a counter of its own, unless there will be too many.
    pub(super) fn recount(&mut self, before: &Self) {
        self.other_version &= self.shown_version() == before.shown_version();
        self.other_model &= self.hw_model == before.hw_model;
    }

    /// The version that statistics show.
    fn shown_version(&self) -> Option<&String> {
        self.counted_version.as_ref().or(self.sw_version.as_ref())
    }

    /// Sets the firmware of this update as installed.
    pub(super) fn set_installed(&mut self, update: &Update, now: Timestamp) {
        self.installed_firmware = Some(update.firmware);
        self.installed_update = Some(update.id);
        self.set_version(&update.to_version, now);
        self.expected_version = Some(update.to_version.clone());
        self.drifted_at = None;
        self.failed_update = None;
    }

    /// The columns that a transaction changes.
    fn columns(&self) -> Columns<'_> {
        let key = |version: Option<&str>| ColumnValue::text_or_null(version.map(sort_key));
        let update = |id: Option<UpdateId>| ColumnValue::int_or_null(id.map(|id| id.0));
        let (revision, version) = (self.hw_revision.as_deref(), self.sw_version.as_deref());
        vec![
            ("state", ColumnValue::text(self.state.as_str())),
            (
                "hw_model",
                ColumnValue::text_or_null(self.hw_model.as_deref()),
            ),
            ("hw_revision", ColumnValue::text_or_null(revision)),
            ("hw_revision_key", key(revision)),
            ("sw_version", ColumnValue::text_or_null(version)),
            ("sw_version_key", key(version)),
            (
                "version_hour_at",
                ColumnValue::int(self.version_changes.hour_at.0),
            ),
            (
                "version_changes",
                ColumnValue::int(self.version_changes.count),
            ),
            (
                "counted_version",
                ColumnValue::text_or_null(self.counted_version.as_deref()),
            ),
            ("other_version", ColumnValue::int(self.other_version)),
            ("other_model", ColumnValue::int(self.other_model)),
            (
                "installed_firmware_id",
                ColumnValue::int_or_null(self.installed_firmware.map(|id| id.0)),
            ),
            ("installed_update_id", update(self.installed_update)),
            ("timed_out_update_id", update(self.failed_update)),
            (
                "expected_version",
                ColumnValue::text_or_null(self.expected_version.as_deref()),
            ),
            (
                "drifted_at",
                ColumnValue::int_or_null(self.drifted_at.map(|at| at.0)),
            ),
            (
                "attribute_change_seq",
                ColumnValue::int(self.attribute_change_seq),
            ),
            ("wants_attributes", ColumnValue::int(self.wants_attributes)),
        ]
    }

    pub(super) fn traits(&self) -> DeviceTraits {
        DeviceTraits {
            state: self.state,
            version: counted(self.other_version, self.shown_version()),
            model: counted(self.other_model, self.hw_model.as_ref()),
            drifted: self.drifted_at.is_some(),
        }
    }
}

fn counted(is_other: bool, value: Option<&String>) -> CountedValue {
    if is_other {
        CountedValue::Other
    } else {
        CountedValue::Own(value.cloned())
    }
}

json_row! {
    struct StoredDevice {
        id: i64,
        device_id: String,
        state: Name<DeviceState>,
        hw_model: Option<String>,
        hw_revision: Option<String>,
        sw_version: Option<String>,
        version_hour_at: i64,
        version_changes: u32,
        counted_version: Option<String>,
        other_version: Flag,
        other_model: Flag,
        installed_firmware_id: Option<i64>,
        installed_update_id: Option<i32>,
        timed_out_update_id: Option<i32>,
        expected_version: Option<String>,
        drifted_at: Option<i64>,
        attribute_change_seq: i64,
        mode: Name<DeviceMode>,
        pinned: Flag,
        feed: Option<String>,
        wants_attributes: Flag,
        auto_confirm_at: Option<i64>,
        token_sha256: Option<Hex<[u8; 32]>>,
        old_token_sha256: Option<Hex<[u8; 32]>>,
        old_token_until: Option<i64>,
        polling_seconds: Option<u32>,
    }
}

/// Reads and locks these devices in the order of their keys.
pub(super) async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &BTreeSet<DeviceKey>,
) -> Result<BTreeMap<DeviceKey, DeviceRow>, StoreError> {
    const READ: &str = "read devices";
    static SQL: SqlText = SqlText::new(|dialect| {
        let (condition, order) = (
            dialect.key_in_json("d.id", "$2"),
            dialect.ordered_for_update("d.id"),
        );
        let devices = format!("devices d WHERE +d.tenant_id = $1 AND {condition}{order}");
        StoredDevice::select_all(dialect, "d", &devices)
    });
    let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
    let row = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&keys)?)
        .fetch_one(tx.conn())
        .await
        .map_err(failed(READ))?;
    let stored = StoredDevice::read_all(&row).map_err(row_error(READ))?;
    let devices = stored.into_iter();
    Ok(devices
        .map(|stored| (DeviceKey(stored.id), stored.into()))
        .collect())
}

impl From<StoredDevice> for DeviceRow {
    fn from(stored: StoredDevice) -> Self {
        let old_token = stored.old_token_sha256.zip(stored.old_token_until);
        Self {
            version_changes: VersionChanges {
                hour_at: Timestamp(stored.version_hour_at),
                count: stored.version_changes,
                is_unstable: stored.counted_version.is_some(),
            },
            counted_version: stored.counted_version,
            other_version: stored.other_version.0,
            other_model: stored.other_model.0,
            device_id: stored.device_id,
            state: stored.state.0,
            hw_model: stored.hw_model,
            hw_revision: stored.hw_revision,
            sw_version: stored.sw_version,
            installed_firmware: stored.installed_firmware_id.map(FirmwareId),
            installed_update: stored.installed_update_id.map(UpdateId),
            failed_update: stored.timed_out_update_id.map(UpdateId),
            expected_version: stored.expected_version,
            drifted_at: stored.drifted_at.map(Timestamp),
            attribute_change_seq: stored.attribute_change_seq,
            mode: stored.mode.0,
            pinned: stored.pinned.0,
            feed: stored.feed,
            wants_attributes: stored.wants_attributes.0,
            token_sha256: stored.token_sha256.map(|Hex(sha256)| sha256),
            old_token: old_token.map(|(Hex(sha256), until)| {
                let until = Timestamp(until);
                Box::new(OldToken { sha256, until })
            }),
            auto_confirms: stored.auto_confirm_at.is_some(),
            polling_seconds: stored.polling_seconds,
        }
    }
}

/// Writes the changed devices and counts them; each with its row before and after the change.
pub(super) async fn write(
    tx: &mut Tx,
    tenant: TenantId,
    changed: &[(DeviceKey, &DeviceRow, &DeviceRow)],
    tenant_counters: &mut TenantCounters,
) -> Result<(), StoreError> {
    let rows = changed.iter().filter_map(|(key, before, after)| {
        tenant_counters.count_device(tenant, *key, Some(&before.traits()), &after.traits());
        ChangedRow::new(key.0, &before.columns(), after.columns())
    });
    update_rows(tx, tenant, "devices", rows.collect()).await
}
