//! Counters for statistics and metrics, updated in the transaction that changes what they count.

mod distinct_values;

pub(crate) use distinct_values::{CountedValue, DeviceValue};

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use strum::{EnumString, IntoStaticStr, VariantArray};
use tidegate_core::{
    Named as _,
    campaign::CampaignStatus,
    device::DeviceState,
    id::{DeviceKey, TenantId},
    time::Timestamp,
    update::{Update, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    sql::SqlText,
};

/// The kind of a counter; most kinds have a counter for each key. Kinds with a [`DeviceValue`] as key have no counters at
/// zero.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, EnumString, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CounterKind {
    DevicesByState,
    DevicesByVersion,
    DevicesByModel,
    /// Devices whose version has no counter. No key.
    DevicesOfOtherVersion,
    /// Devices whose model has no counter. No key.
    DevicesOfOtherModel,
    /// The number of counters by version, without that of unknown versions. No key.
    DistinctVersions,
    /// The number of counters by model, without that of unknown models. No key.
    DistinctModels,
    /// Devices that report another version than their last completed update installed. No key.
    DevicesDrifted,
    UpdatesByStatus,
    CampaignsByStatus,
    /// By the hour of completion, see [`hour_key`].
    CompletedInHour,
    /// Failed or timed out, by hour.
    FailedInHour,
    /// The size of the journals of all campaigns. No key.
    JournalBytes,
    /// Not a count: the time of the last change, in milliseconds. No key.
    LastChange,
}

/// The values that a device is counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceTraits {
    pub state: DeviceState,
    pub version: CountedValue,
    pub model: CountedValue,
    pub drifted: bool,
}

/// The counter changes of a transaction. They are collected while it runs, and [`Self::write`] is called last: all
/// transactions lock these contended rows in the same order and for the shortest time.
#[derive(Debug, Default)]
pub(crate) struct TenantCounters {
    deltas: BTreeMap<(TenantId, CounterKind, String), i64>,
    last_changes: BTreeMap<TenantId, i64>,
    /// The values that devices were added to.
    device_values: BTreeMap<(TenantId, DeviceValue, DeviceKey), String>,
}

impl TenantCounters {
    pub(crate) fn add(&mut self, tenant: TenantId, kind: CounterKind, key: &str, delta: i64) {
        let count = self
            .deltas
            .entry((tenant, kind, key.to_owned()))
            .or_default();
        *count += delta;
    }

    /// Counts a created device (no `before`) or a changed one, which the transaction has locked. A value that is new may
    /// become [`CountedValue::Other`]: [`Self::write`] records that at the device.
    pub(crate) fn count_device(
        &mut self,
        tenant: TenantId,
        device: DeviceKey,
        before: Option<&DeviceTraits>,
        after: &DeviceTraits,
    ) {
        if let Some(before) = before {
            self.add_device(tenant, before, -1);
        }
        self.add_device(tenant, after, 1);
        for value in DeviceValue::ALL {
            let counted = after.value(value);
            if let CountedValue::Own(Some(text)) = counted
                && before.is_none_or(|before| before.value(value) != counted)
            {
                let key = (tenant, value, device);
                self.device_values.insert(key, storable(text).into_owned());
            }
        }
    }

    /// Removes a deleted device from the counters.
    pub(crate) fn uncount_device(&mut self, tenant: TenantId, before: &DeviceTraits) {
        self.add_device(tenant, before, -1);
    }

    fn add_device(&mut self, tenant: TenantId, traits: &DeviceTraits, delta: i64) {
        self.add(
            tenant,
            CounterKind::DevicesByState,
            traits.state.as_str(),
            delta,
        );
        for value in DeviceValue::ALL {
            match traits.value(value) {
                CountedValue::Own(text) => {
                    let key = text.as_deref().unwrap_or_default();
                    self.add(tenant, value.counters(), key, delta);
                }
                CountedValue::Other => self.add(tenant, value.other(), "", delta),
            }
        }
        if traits.drifted {
            self.add(tenant, CounterKind::DevicesDrifted, "", delta);
        }
    }

    /// Counts a created update (no `before`) or a changed one.
    pub(crate) fn count_update(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        self.add_update_status(tenant, before, after, at);
        if before != Some(after) {
            let recent = match after {
                UpdateStatus::Completed => Some(CounterKind::CompletedInHour),
                UpdateStatus::Failed | UpdateStatus::TimedOut => Some(CounterKind::FailedInHour),
                _ => None,
            };
            if let Some(kind) = recent {
                self.add(tenant, kind, &hour_key(at), 1);
            }
        }
    }

    /// Counts a failed update that was replaced by a retry: it is not counted as a failure.
    pub(crate) fn count_retried_update(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        self.add_update_status(tenant, before, after, at);
        self.add_update_status(tenant, None, UpdateStatus::Scheduled, at);
    }

    /// Takes back that an update ended: it counts as scheduled.
    pub(crate) fn uncount_end(&mut self, tenant: TenantId, update: &Update) {
        let state = &update.state;
        self.uncount_status(tenant, state.status);
        let scheduled = UpdateStatus::Scheduled.as_str();
        self.add(tenant, CounterKind::UpdatesByStatus, scheduled, 1);
        let has_failed = matches!(state.status, UpdateStatus::Failed | UpdateStatus::TimedOut)
            && !update.attempt.is_retried;
        if let Some(at) = state.completed_at.filter(|_| has_failed) {
            self.add(tenant, CounterKind::FailedInHour, &hour_key(at), -1);
        }
    }

    /// Takes back an update of this status.
    pub(crate) fn uncount_status(&mut self, tenant: TenantId, status: UpdateStatus) {
        self.add(tenant, CounterKind::UpdatesByStatus, status.as_str(), -1);
    }

    fn add_update_status(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        if let Some(before) = before {
            self.add(tenant, CounterKind::UpdatesByStatus, before.as_str(), -1);
        }
        self.add(tenant, CounterKind::UpdatesByStatus, after.as_str(), 1);
        let last_changes = self.last_changes.entry(tenant).or_insert(at.0);
        *last_changes = at.0.max(*last_changes);
    }

    /// Counts a created campaign (no `before`) or a changed status.
    pub(crate) fn count_campaign(
        &mut self,
        tenant: TenantId,
        before: Option<CampaignStatus>,
        after: CampaignStatus,
    ) {
        if let Some(before) = before {
            self.add(tenant, CounterKind::CampaignsByStatus, before.as_str(), -1);
        }
        self.add(tenant, CounterKind::CampaignsByStatus, after.as_str(), 1);
    }

    /// Counts a campaign that is deleted.
    pub(crate) fn uncount_campaign(&mut self, tenant: TenantId, status: CampaignStatus) {
        self.add(tenant, CounterKind::CampaignsByStatus, status.as_str(), -1);
    }

    /// Writes the changes. Must be the last statements before the commit. The rows are locked in this order: those of
    /// all kinds but the following, then the numbers of distinct values, then the other values.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        let deltas = self.deltas.iter().filter(|(_, delta)| **delta != 0);
        let (others, deltas): (Vec<_>, Vec<_>) =
            deltas.partition(|((_, kind, _), _)| kind.is_written_last());
        let moves_values = deltas
            .iter()
            .any(|((_, kind, _), _)| kind.device_value().is_some());
        let deltas = deltas
            .into_iter()
            .map(|((tenant, kind, key), delta)| CounterRow::new(*tenant, *kind, key, *delta));
        let last_changes = self
            .last_changes
            .iter()
            .map(|(tenant, at)| CounterRow::new(*tenant, CounterKind::LastChange, "", *at));
        let rows: Vec<_> = deltas.chain(last_changes).collect();
        let mut others: BTreeMap<(TenantId, CounterKind), i64> = others
            .into_iter()
            .map(|((tenant, kind, _), delta)| ((*tenant, *kind), *delta))
            .collect();
        if moves_values {
            let written = upsert_returning(tx, &rows).await?;
            let moved = distinct_values::bound(tx, &rows, &written, &self.device_values).await?;
            for (key, devices) in moved {
                *others.entry(key).or_default() += devices;
            }
        } else {
            upsert(tx, &rows).await?;
        }
        let others = others.into_iter().filter(|(_, delta)| *delta != 0);
        let others: Vec<_> = others
            .map(|((tenant, kind), delta)| CounterRow::new(tenant, kind, "", delta))
            .collect();
        upsert(tx, &others).await
    }
}

impl CounterKind {
    /// The value of devices that is the key of this kind.
    pub(crate) fn device_value(self) -> Option<DeviceValue> {
        DeviceValue::ALL
            .into_iter()
            .find(|value| value.counters() == self)
    }

    fn is_written_last(self) -> bool {
        DeviceValue::ALL
            .into_iter()
            .any(|value| value.other() == self)
    }
}

impl DeviceTraits {
    fn value(&self, value: DeviceValue) -> &CountedValue {
        match value {
            DeviceValue::Version => &self.version,
            DeviceValue::Model => &self.model,
        }
    }
}

/// The sum of the counters of a kind, for one key or for all.
pub(crate) async fn total(
    tx: &mut Tx,
    tenant: TenantId,
    kind: CounterKind,
    key: Option<&str>,
) -> Result<u64, StoreError> {
    const READ: &str = "read tenant counters";
    // SUM of integers is NUMERIC on PostgreSQL.
    let sql = "SELECT CAST(COALESCE(SUM(value), 0) AS BIGINT) AS total FROM tenant_counters \
         WHERE tenant_id = $1 AND kind = $2 AND (counter_key = $3 OR $3 IS NULL)";
    let row = sqlx::query(sql)
        .bind(tenant.0)
        .bind(kind.as_str())
        .bind(key)
        .fetch_one(tx.conn())
        .await
        .map_err(failed(READ))?;
    row.count("total").map_err(row_error(READ))
}

#[derive(Debug, Serialize)]
struct CounterRow<'a> {
    tenant_id: i64,
    kind: &'static str,
    counter_key: Cow<'a, str>,
    value: i64,
}

impl<'a> CounterRow<'a> {
    fn new(tenant: TenantId, kind: CounterKind, key: &'a str, value: i64) -> Self {
        Self {
            tenant_id: tenant.0,
            kind: kind.as_str(),
            counter_key: storable(key),
            value,
        }
    }
}

const COLUMNS: [(&str, ColumnType); 4] = [
    ("tenant_id", ColumnType::Int),
    ("kind", ColumnType::Text),
    ("counter_key", ColumnType::Text),
    ("value", ColumnType::Int),
];

const WRITE: &str = "write tenant counters";

fn upsert_sql(dialect: Dialect) -> String {
    format!(
        "INSERT INTO tenant_counters (tenant_id, kind, counter_key, value) \
         SELECT tenant_id, kind, counter_key, value FROM {} WHERE true \
         ON CONFLICT (tenant_id, kind, counter_key) DO UPDATE SET value = CASE \
         WHEN tenant_counters.kind <> '{}' THEN tenant_counters.value + excluded.value \
         WHEN tenant_counters.value < excluded.value THEN excluded.value ELSE tenant_counters.value END",
        dialect.json_rows("delta", "$1", &COLUMNS),
        CounterKind::LastChange.as_str()
    )
}

async fn upsert(tx: &mut Tx, rows: &[CounterRow<'_>]) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(upsert_sql);

    if rows.is_empty() {
        return Ok(());
    }
    let values = [to_json(&rows)?.into()];
    tx.execute_later(WRITE, SQL.of(tx.dialect()), values).await
}

/// A counter as it was written.
type Counter = (TenantId, CounterKind, String);

/// Like [`upsert`]; returns the values of all written counters.
async fn upsert_returning(
    tx: &mut Tx,
    rows: &[CounterRow<'_>],
) -> Result<BTreeMap<Counter, i64>, StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        let upsert = upsert_sql(dialect);
        format!("{upsert} RETURNING tenant_id, kind, counter_key, value")
    });
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(to_json(&rows)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    let read = |row: &AnyRow| -> Result<_, RowError> {
        let tenant = TenantId(row.take("tenant_id")?);
        let key = (tenant, row.parse("kind")?, row.take("counter_key")?);
        Ok((key, row.take("value")?))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(row_error(WRITE))
}

async fn delete(tx: &mut Tx, rows: &[CounterRow<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM tenant_counters WHERE (tenant_id, kind, counter_key) IN \
         (SELECT tenant_id, kind, counter_key FROM {})",
        tx.dialect().json_rows("deleted", "$1", &COLUMNS)
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("delete tenant counters"))?;
    Ok(())
}

/// The hour of a time as a key. Byte order is chronological.
pub(crate) fn hour_key(at: Timestamp) -> String {
    format!("{:012}", at.as_millis() / 3_600_000)
}
