use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    device::{AttributeNames, MAX_ATTRIBUTES},
    id::{DeviceKey, TenantId},
    mode::has_drifted,
    update::{Event, Update},
    version::is_same,
};
use tidegate_engine::ports::{AttributeMode, AttributesReport, RecordError, StoreError};

use super::{
    ledger::Ledger,
    record::{Moved, Outcome, Said},
};
use crate::{
    database::Tx,
    devices::{Changes, differences},
    dialect::{Type, storable},
    error::failed,
    rows::{Columns as _, bad_row, to_json},
    tallies::Tallies,
};

/// The attributes of the devices that report some, as they were and as they are now.
pub(super) struct Attributes {
    was: BTreeMap<DeviceKey, BTreeMap<String, String>>,
    now: BTreeMap<DeviceKey, BTreeMap<String, String>>,
    changes: Changes,
}

/// Joins what a device reports of itself to what is known of it, and lets updates that waited for its version complete.
pub(super) fn report(
    ledger: &mut Ledger,
    known: &mut Attributes,
    report: &AttributesReport,
    tallies: &mut Tallies,
) -> Outcome {
    if ledger.device(report.device).is_none() {
        return Err(RecordError::NotFound);
    }
    let attributes = known.now.entry(report.device).or_default();
    let joined = joined(attributes, report);
    if joined.len() > MAX_ATTRIBUTES {
        return Err(RecordError::TooMany(MAX_ATTRIBUTES));
    }
    if let Some(device) = ledger.device_mut(report.device) {
        let (last, changed) = (device.attribute_changes, differences(attributes, &joined));
        device.attribute_changes = known.changes.note(report, last, changed);
    }
    *attributes = joined;
    let read = |names: &[String]| AttributeNames::read(names, attributes).map(str::to_owned);
    let hw_model = read(&report.names.hw_model);
    let hw_revision = read(&report.names.hw_revision);
    let version = read(&report.names.sw_version).filter(|_| says_version(report));
    if let Some(device) = ledger.device_mut(report.device) {
        device.hw_model = hw_model;
        device.hw_revision = hw_revision;
        device.sw_version = version.clone().or(device.sw_version.take());
    }
    let moved = match version {
        Some(version) => {
            note_drift(ledger, report, &version);
            version_seen(ledger, report, &version, tallies)?
        }
        None => Moved::new(),
    };
    // Many devices report before they restart: as long as the proof is outstanding they are asked again.
    let waits_for_proof = ledger
        .of_device(report.device)
        .any(|entry| entry.update.progress.waits_for_version(report.at));
    if let Some(device) = ledger.device_mut(report.device) {
        device.wants_attributes = waits_for_proof;
    }
    Ok(moved)
}

/// Notes whether the device is on the version that it should be on. One that an open update brings is on its way.
fn note_drift(ledger: &mut Ledger, report: &AttributesReport, version: &str) {
    let is_on_its_way = ledger.of_device(report.device).any(|entry| {
        let update = &entry.update;
        update.progress.status.is_open() && !has_drifted(Some(&update.to_version), Some(version))
    });
    if let Some(device) = ledger.device_mut(report.device) {
        let expected = device.expected_version.as_deref();
        let is_elsewhere = !is_on_its_way && has_drifted(expected, Some(version));
        device.drifted_at = is_elsewhere.then(|| device.drifted_at.unwrap_or(report.at));
    }
}

fn joined(
    attributes: &BTreeMap<String, String>,
    report: &AttributesReport,
) -> BTreeMap<String, String> {
    let mut joined = match report.mode {
        AttributeMode::Replace => BTreeMap::new(),
        AttributeMode::Merge | AttributeMode::Remove => attributes.clone(),
    };
    for (key, value) in &report.data {
        let key = storable(key);
        match value {
            Some(value) if report.mode != AttributeMode::Remove => {
                joined.insert(key.into_owned(), storable(value).into_owned());
            }
            _ => {
                joined.remove(key.as_ref());
            }
        }
    }
    joined
}

/// An attribute that was there before may be older than what an update brought meanwhile.
fn says_version(report: &AttributesReport) -> bool {
    report.mode != AttributeMode::Remove
        && report
            .names
            .sw_version
            .iter()
            .any(|name| report.data.get(name).is_some_and(Option::is_some))
}

/// The updates that the version completes, each by its campaign.
fn version_seen(
    ledger: &mut Ledger,
    report: &AttributesReport,
    version: &str,
    tallies: &mut Tallies,
) -> Outcome {
    let updates: Vec<_> = ledger
        .of_device(report.device)
        .filter(|entry| entry.update.progress.status.is_open())
        .map(|entry| {
            let campaign = entry.update.campaign.map(|(campaign, _)| campaign);
            (
                entry.update.id,
                campaign,
                event(ledger, &entry.update, version),
            )
        })
        .collect();
    let mut moved = Moved::new();
    for (id, campaign, event) in updates {
        if ledger.step(id, &event, report.at, tallies)? {
            moved.push(campaign);
        }
    }
    Ok(moved)
}

/// What a reported version is to an open update. One that soaks has failed by another version, unless a later update has
/// brought that: then there is nothing left to prove.
fn event(ledger: &Ledger, update: &Update, version: &str) -> Event {
    let is_target = is_same(&update.to_version, version);
    if is_target || update.progress.soaks_until.is_none() {
        return Event::VersionReported { is_target };
    }
    let device = ledger.device(update.device);
    let was_replaced = device.and_then(|device| device.installed_update) > Some(update.id);
    let is_replaced = ledger
        .of_device(update.device)
        .map(|entry| &entry.update)
        .any(|other| {
            other.progress.status.is_open()
                && other.id > update.id
                && is_same(&other.to_version, version)
        });
    if was_replaced || is_replaced {
        Event::CancelRequested
    } else {
        Event::VersionReported { is_target }
    }
}

#[derive(Serialize)]
struct AttributeJson<'a> {
    tenant_id: i64,
    device_id: i64,
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
        device_id: device.0,
        attribute_key,
        value,
    }
}

const COLUMNS: [(&str, Type); 4] = [
    ("tenant_id", Type::Int),
    ("device_id", Type::Int),
    ("attribute_key", Type::Text),
    ("value", Type::Text),
];

impl Attributes {
    pub(super) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        said: &[(usize, &Said)],
    ) -> Result<Self, StoreError> {
        const READ: &str = "read attributes";
        let devices: BTreeSet<i64> = said
            .iter()
            .filter_map(|(_, said)| match said {
                Said::Attributes(report) => Some(report.device.0),
                Said::Event(_) | Said::Log(_) => None,
            })
            .collect();
        let mut was: BTreeMap<DeviceKey, BTreeMap<String, String>> = BTreeMap::new();
        if !devices.is_empty() {
            let which = tx.dialect().among("device_id", "$2");
            let sql = format!(
                "SELECT device_id, attribute_key, value FROM device_attributes WHERE +tenant_id = $1 AND {which}"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(tenant.0)
                .bind(to_json(&devices)?)
                .fetch_all(tx.conn())
                .await
                .map_err(failed(READ))?;
            for row in &rows {
                let read = || {
                    let device = DeviceKey(row.take("device_id")?);
                    Ok((device, row.take("attribute_key")?, row.take("value")?))
                };
                let (device, key, value) = read().map_err(bad_row(READ))?;
                was.entry(device).or_default().insert(key, value);
            }
        }
        let now = was.clone();
        Ok(Self {
            was,
            now,
            changes: Changes::default(),
        })
    }

    /// Writes what changed.
    pub(super) async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        self.changes.write(tx).await?;
        let none = BTreeMap::new();
        let (mut gone, mut set) = (Vec::new(), Vec::new());
        for (device, now) in &self.now {
            let was = self.was.get(device).unwrap_or(&none);
            let row = |key, value| row(tenant, *device, key, value);
            gone.extend(
                was.keys()
                    .filter(|key| !now.contains_key(*key))
                    .map(|key| row(key.as_str(), None)),
            );
            set.extend(
                now.iter()
                    .filter(|(key, value)| was.get(*key) != Some(value))
                    .map(|(key, value)| row(key.as_str(), Some(value.as_str()))),
            );
        }
        if !gone.is_empty() {
            let from = tx.dialect().rows("g", "$1", &COLUMNS);
            let sql = format!(
                "DELETE FROM device_attributes WHERE (tenant_id, device_id, attribute_key) IN \
                 (SELECT g.tenant_id, g.device_id, g.attribute_key FROM {from})"
            );
            execute(tx, sql, &gone).await?;
        }
        if !set.is_empty() {
            let from = tx.dialect().rows("s", "$1", &COLUMNS);
            let sql = format!(
                "INSERT INTO device_attributes (tenant_id, device_id, attribute_key, value) \
                 SELECT s.tenant_id, s.device_id, s.attribute_key, s.value FROM {from} WHERE true \
                 ON CONFLICT (tenant_id, device_id, attribute_key) DO UPDATE SET value = excluded.value"
            );
            execute(tx, sql, &set).await?;
        }
        Ok(())
    }
}

async fn execute(tx: &mut Tx, sql: String, rows: &[AttributeJson<'_>]) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write attributes"))?;
    Ok(())
}
