//! Devices choose their versions and models: the number of counters by these values is bounded.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    Named as _,
    id::{DeviceKey, TenantId},
};
use tidegate_engine::ports::StoreError;

use super::{Counter, CounterKind, CounterRow, delete, upsert_returning};
use crate::{database::Tx, error::failed, rows::to_json};

/// Maximum counters by version, and by model, of a tenant.
const MAX_DISTINCT_VALUES: i64 = 10_000;

/// A value of devices with a counter for each text that they report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DeviceValue {
    Version,
    Model,
}

/// By which counter a device is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CountedValue {
    /// By that of its value. None is unknown, and has an empty key.
    Own(Option<String>),
    /// By that of all values that were new when the tenant had the maximum of counters. The device's row records it.
    Other,
}

impl DeviceValue {
    pub(super) const ALL: [Self; 2] = [Self::Version, Self::Model];

    pub(super) fn counters(self) -> CounterKind {
        match self {
            Self::Version => CounterKind::DevicesByVersion,
            Self::Model => CounterKind::DevicesByModel,
        }
    }

    pub(super) fn other(self) -> CounterKind {
        match self {
            Self::Version => CounterKind::DevicesOfOtherVersion,
            Self::Model => CounterKind::DevicesOfOtherModel,
        }
    }

    fn distinct(self) -> CounterKind {
        match self {
            Self::Version => CounterKind::DistinctVersions,
            Self::Model => CounterKind::DistinctModels,
        }
    }

    /// The column of the devices that are [`CountedValue::Other`].
    fn column(self) -> &'static str {
        match self {
            Self::Version => "other_version",
            Self::Model => "other_model",
        }
    }
}

/// The counters that a transaction created and those that it brought to zero.
#[derive(Default)]
struct Changes<'a> {
    created: Vec<(&'a str, i64)>,
    at_zero: i64,
}

/// Deletes the counters at zero, and those that exceed the maximum: their devices become [`CountedValue::Other`]. Returns
/// the number of these devices by counter. `rows` are the differences that were written, `written` the values after them,
/// and `device_values` the values of the devices that were added.
///
/// A counter whose value equals its difference is new, because none is kept at zero. Nothing is counted: the number of
/// distinct values is a counter itself, which is changed only with them.
pub(super) async fn bound(
    tx: &mut Tx,
    rows: &[CounterRow<'_>],
    written: &BTreeMap<Counter, i64>,
    device_values: &BTreeMap<(TenantId, DeviceValue, DeviceKey), String>,
) -> Result<BTreeMap<(TenantId, CounterKind), i64>, StoreError> {
    let mut changes: BTreeMap<(TenantId, DeviceValue), Changes<'_>> = BTreeMap::new();
    let deltas: BTreeMap<_, _> = rows
        .iter()
        .map(|row| ((row.tenant_id, row.kind, &*row.counter_key), row.value))
        .collect();
    let mut zeros = Vec::new();
    for ((tenant, kind, key), value) in written {
        let Some(device_value) = kind.device_value() else {
            continue;
        };
        if *value == 0 {
            zeros.push(CounterRow::new(*tenant, *kind, key, 0));
        }
        // The number of unknown values is no distinct one.
        if key.is_empty() {
            continue;
        }
        let delta = deltas.get(&(tenant.0, kind.as_str(), key.as_str()));
        if *value == 0 {
            changes.entry((*tenant, device_value)).or_default().at_zero += 1;
        } else if Some(value) == delta {
            let changes = changes.entry((*tenant, device_value)).or_default();
            changes.created.push((key, *value));
        }
    }
    delete(tx, &zeros).await?;
    if changes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let distinct: Vec<_> = changes
        .iter()
        .map(|((tenant, value), changes)| {
            let delta = changes.created.len() as i64 - changes.at_zero;
            CounterRow::new(*tenant, value.distinct(), "", delta)
        })
        .collect();
    // Locks the number, also if it stays: another server may create counters at once.
    let distinct = upsert_returning(tx, &distinct).await?;
    let mut others = BTreeMap::new();
    for ((tenant, value), changes) in &changes {
        let number = distinct.get(&(*tenant, value.distinct(), String::new()));
        let excess = number.copied().unwrap_or(0) - MAX_DISTINCT_VALUES;
        let excess = usize::try_from(excess)
            .unwrap_or(0)
            .min(changes.created.len());
        if excess > 0 {
            let created = &changes.created[changes.created.len() - excess..];
            let devices = move_to_other(tx, *tenant, *value, created, device_values).await?;
            others.insert((*tenant, value.other()), devices);
        }
    }
    Ok(others)
}

/// Deletes these counters, which the transaction has created, and records it at their devices; returns their number.
async fn move_to_other(
    tx: &mut Tx,
    tenant: TenantId,
    value: DeviceValue,
    created: &[(&str, i64)],
    device_values: &BTreeMap<(TenantId, DeviceValue, DeviceKey), String>,
) -> Result<i64, StoreError> {
    let rows: Vec<_> = created
        .iter()
        .map(|(key, _)| CounterRow::new(tenant, value.counters(), key, 0))
        .collect();
    delete(tx, &rows).await?;
    let number = CounterRow::new(tenant, value.distinct(), "", -(created.len() as i64));
    upsert_returning(tx, &[number]).await?;
    let texts: BTreeSet<&str> = created.iter().map(|(key, _)| *key).collect();
    let devices = device_values.iter().filter(|((of, kind, _), text)| {
        (*of, *kind) == (tenant, value) && texts.contains(text.as_str())
    });
    let devices: Vec<_> = devices.map(|((_, _, device), _)| device.0).collect();
    let sql = format!(
        "UPDATE devices SET {} = 1 WHERE +tenant_id = $1 AND {}",
        value.column(),
        tx.dialect().key_in_json("id", "$2")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&devices)?)
        .execute(tx.conn())
        .await
        .map_err(failed("count devices among the others"))?;
    Ok(created.iter().map(|(_, devices)| devices).sum())
}
