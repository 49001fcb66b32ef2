use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidegate_core::{
    device::{AttributeMode, AttributeNames, MAX_ATTRIBUTES},
    id::{DeviceKey, TenantId},
    mode::has_drifted,
    update::{Update, UpdateEvent},
    version::is_same,
};
use tidegate_engine::ports::{
    DeviceEvent, DeviceReport, RecordError, ReportedAttributes, StoreError,
};

use super::{
    effects::{Effects, RecordOutcome},
    unit_of_work::UpdateUnitOfWork,
};
use crate::{
    attribute_changes::{AttributeChangeLog, differences},
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
    tenant_counters::TenantCounters,
};

/// The attributes of the devices in the reports: the stored and the new ones.
pub(super) struct DeviceAttributes {
    before: BTreeMap<DeviceKey, BTreeMap<String, String>>,
    after: BTreeMap<DeviceKey, BTreeMap<String, String>>,
    changes: AttributeChangeLog,
}

/// Merges reported attributes into the stored ones, and completes updates that waited for the reported version. Adds a
/// version that no update explains.
pub(super) fn apply_report(
    work: &mut UpdateUnitOfWork,
    attributes: &mut DeviceAttributes,
    report: &DeviceReport,
    reported: &ReportedAttributes,
    tenant_counters: &mut TenantCounters,
    unexplained_versions: &mut BTreeMap<DeviceKey, String>,
) -> RecordOutcome {
    if work.device(report.device).is_none() {
        return Err(RecordError::NotFound);
    }
    let current = attributes.after.entry(report.device).or_default();
    let merged_attributes = merged_attributes(current, reported);
    if merged_attributes.len() > MAX_ATTRIBUTES {
        return Err(RecordError::TooMany(MAX_ATTRIBUTES));
    }
    if let Some(device) = work.device_mut(report.device) {
        let (last, changed) = (
            device.attribute_change_seq,
            differences(current, &merged_attributes),
        );
        device.attribute_change_seq = attributes.changes.add(report, reported.mode, last, changed);
    }
    work.set_class_attributes(report.device, &merged_attributes);
    *current = merged_attributes;
    let read = |names: &[String]| AttributeNames::read(names, current).map(str::to_owned);
    let hw_model = read(&reported.names.hw_model);
    let hw_revision = read(&reported.names.hw_revision);
    let version = read(&reported.names.sw_version).filter(|_| contains_version(reported));
    let mut is_other_version = false;
    if let Some(device) = work.device_mut(report.device) {
        let before = device.sw_version.as_deref().zip(version.as_deref());
        is_other_version = before.is_some_and(|(before, version)| !is_same(before, version));
        device.hw_model = hw_model;
        device.hw_revision = hw_revision;
        device.end_instability(report.at);
        if let Some(version) = &version {
            device.set_version(version, report.at);
        }
    }
    let mut effects = match version {
        Some(version) => {
            update_drift(work, report, &version);
            let effects = complete_by_version(work, report, &version, tenant_counters)?;
            if is_other_version && effects.updates.is_empty() {
                unexplained_versions.insert(report.device, version);
            }
            effects
        }
        None => Effects::default(),
    };
    let withdrawn = work.withdraw_offers(report.device, report.at, tenant_counters);
    effects.updates.extend(withdrawn);
    // Many devices report before they restart: request attributes until the success criteria are met.
    let needs_version_report = work
        .updates_of(report.device)
        .any(|loaded| loaded.update.state.needs_version_report(report.at));
    if let Some(device) = work.device_mut(report.device) {
        device.wants_attributes = needs_version_report;
    }
    Ok(effects)
}

/// Sets or clears the drift. A version that an open update installs is no drift.
fn update_drift(work: &mut UpdateUnitOfWork, report: &DeviceReport, version: &str) {
    let is_being_installed = work
        .completable(report.device)
        .any(|update| !has_drifted(Some(&update.to_version), Some(version)));
    if let Some(device) = work.device_mut(report.device) {
        let expected = device.expected_version.as_deref();
        let is_drift = !is_being_installed && has_drifted(expected, Some(version));
        device.drifted_at = is_drift.then(|| device.drifted_at.unwrap_or(report.at));
    }
}

fn merged_attributes(
    attributes: &BTreeMap<String, String>,
    reported: &ReportedAttributes,
) -> BTreeMap<String, String> {
    let mut merged_attributes = match reported.mode {
        AttributeMode::Replace => BTreeMap::new(),
        AttributeMode::Merge | AttributeMode::Remove => attributes.clone(),
    };
    for (key, value) in &reported.data {
        let key = storable(key);
        match value {
            Some(value) if reported.mode != AttributeMode::Remove => {
                merged_attributes.insert(key.into_owned(), storable(value).into_owned());
            }
            _ => {
                merged_attributes.remove(key.as_ref());
            }
        }
    }
    merged_attributes
}

/// Whether the report contains a version. A stored version may be older than one that an update installed meanwhile.
fn contains_version(reported: &ReportedAttributes) -> bool {
    reported.mode != AttributeMode::Remove
        && reported
            .names
            .sw_version
            .iter()
            .any(|name| reported.data.get(name).is_some_and(Option::is_some))
}

/// Applies the version to the device's open updates, and to the one that failed or timed out; returns the changed ones.
fn complete_by_version(
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    version: &str,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let updates: Vec<_> = work
        .completable(report.device)
        .map(|update| {
            let campaign = update.campaign.map(|(campaign, _)| campaign);
            (update.id, campaign, version_event(work, update, version))
        })
        .collect();
    let mut effects = Effects::default();
    for (id, campaign, event) in updates {
        if work.apply_event(id, &event, report.at, tenant_counters)? {
            effects.updates.push(campaign);
        }
    }
    Ok(effects)
}

/// The event that a reported version is for an open update. Another version fails a soak, unless a later update
/// installed it: then nothing is left to verify, and the soak is cancelled.
fn version_event(work: &UpdateUnitOfWork, update: &Update, version: &str) -> UpdateEvent {
    let is_target = is_same(&update.to_version, version);
    if is_target || !update.state.status.is_open() || update.state.soaks_until.is_none() {
        return UpdateEvent::VersionReported { is_target };
    }
    let device = work.device(update.device);
    let was_superseded = device.and_then(|device| device.installed_update) > Some(update.id);
    let is_superseded = work
        .updates_of(update.device)
        .map(|loaded| &loaded.update)
        .any(|other| {
            other.state.status.is_open()
                && other.id > update.id
                && is_same(&other.to_version, version)
        });
    if was_superseded || is_superseded {
        UpdateEvent::CancelRequested
    } else {
        UpdateEvent::VersionReported { is_target }
    }
}

#[derive(Serialize)]
struct AttributeJson<'a> {
    tenant_id: i64,
    device_key: i64,
    attribute_key: &'a str,
    value: Option<&'a str>,
}

fn row<'a>(
    tenant: TenantId,
    device: DeviceKey,
    attribute_key: &'a str,
    value: Option<&'a str>,
) -> AttributeJson<'a> {
    AttributeJson {
        tenant_id: tenant.0,
        device_key: device.0,
        attribute_key,
        value,
    }
}

const COLUMNS: [(&str, ColumnType); 4] = [
    ("tenant_id", ColumnType::Int),
    ("device_key", ColumnType::Int),
    ("attribute_key", ColumnType::Text),
    ("value", ColumnType::Text),
];

impl DeviceAttributes {
    pub(super) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        reports: &[(usize, &DeviceReport)],
    ) -> Result<Self, StoreError> {
        const READ: &str = "read attributes";
        let devices: BTreeSet<i64> = reports
            .iter()
            .filter(|(_, report)| matches!(report.event, DeviceEvent::Attributes(_)))
            .map(|(_, report)| report.device.0)
            .collect();
        let mut before: BTreeMap<DeviceKey, BTreeMap<String, String>> = BTreeMap::new();
        if !devices.is_empty() {
            static SQL: SqlText = SqlText::new(|dialect| {
                let which = dialect.key_in_json("device_key", "$2");
                format!(
                    "SELECT device_key, attribute_key, value FROM device_attributes WHERE +tenant_id = $1 AND {which}"
                )
            });
            let rows = sqlx::query(SQL.of(tx.dialect()))
                .bind(tenant.0)
                .bind(to_json(&devices)?)
                .fetch_all(tx.conn())
                .await
                .map_err(failed(READ))?;
            for row in &rows {
                let read = || {
                    let device = DeviceKey(row.take("device_key")?);
                    Ok((device, row.take("attribute_key")?, row.take("value")?))
                };
                let (device, key, value) = read().map_err(row_error(READ))?;
                before.entry(device).or_default().insert(key, value);
            }
        }
        let after = before.clone();
        Ok(Self {
            before,
            after,
            changes: AttributeChangeLog::default(),
        })
    }

    pub(super) async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        self.changes.write(tx).await?;
        let none = BTreeMap::new();
        let (mut removed, mut set) = (Vec::new(), Vec::new());
        for (device, after) in &self.after {
            let before = self.before.get(device).unwrap_or(&none);
            let row = |key, value| row(tenant, *device, key, value);
            removed.extend(
                before
                    .keys()
                    .filter(|key| !after.contains_key(*key))
                    .map(|key| row(key.as_str(), None)),
            );
            set.extend(
                after
                    .iter()
                    .filter(|(key, value)| before.get(*key) != Some(value))
                    .map(|(key, value)| row(key.as_str(), Some(value.as_str()))),
            );
        }
        if !removed.is_empty() {
            static SQL: SqlText = SqlText::new(|dialect| {
                let from = dialect.json_rows("g", "$1", &COLUMNS);
                format!(
                    "DELETE FROM device_attributes WHERE (tenant_id, device_key, attribute_key) IN \
                     (SELECT g.tenant_id, g.device_key, g.attribute_key FROM {from})"
                )
            });
            execute(tx, &SQL, &removed).await?;
        }
        if !set.is_empty() {
            static SQL: SqlText = SqlText::new(|dialect| {
                let from = dialect.json_rows("s", "$1", &COLUMNS);
                format!(
                    "INSERT INTO device_attributes (tenant_id, device_key, attribute_key, value) \
                     SELECT s.tenant_id, s.device_key, s.attribute_key, s.value FROM {from} WHERE true \
                     ON CONFLICT (tenant_id, device_key, attribute_key) DO UPDATE SET value = excluded.value"
                )
            });
            execute(tx, &SQL, &set).await?;
        }
        Ok(())
    }
}

async fn execute(
    tx: &mut Tx,
    sql: &'static SqlText,
    rows: &[AttributeJson<'_>],
) -> Result<(), StoreError> {
    sqlx::query(sql.of(tx.dialect()))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write attributes"))?;
    Ok(())
}
