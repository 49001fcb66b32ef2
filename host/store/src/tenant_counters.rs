//! Counters for statistics and metrics, updated in the transaction that changes what they count.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::{EnumString, IntoStaticStr};
use tidegate_core::{
    Named as _,
    campaign::CampaignStatus,
    device::DeviceState,
    id::TenantId,
    time::Timestamp,
    update::{Update, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
};

/// The kind of a counter; most kinds have a counter for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CounterKind {
    DevicesByState,
    DevicesByVersion,
    DevicesByModel,
    /// Devices that report another version than their last completed update installed. No key.
    DevicesDrifted,
    UpdatesByStatus,
    CampaignsByStatus,
    /// By the hour of completion, see [`hour_key`].
    CompletedInHour,
    /// Failed or timed out, by hour.
    FailedInHour,
    /// Not a count: the time of the last change, in milliseconds. No key.
    LastChange,
}

/// The values that a device is counted by. None is unknown, and counted under the empty key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceTraits {
    pub state: DeviceState,
    pub sw_version: Option<String>,
    pub hw_model: Option<String>,
    pub drifted: bool,
}

/// The counter changes of a transaction. They are collected while it runs, and [`Self::write`] is called last: all
/// transactions lock these contended rows in the same order and for the shortest time.
#[derive(Debug, Default)]
pub(crate) struct TenantCounters {
    deltas: BTreeMap<(TenantId, CounterKind, String), i64>,
    last_changes: BTreeMap<TenantId, i64>,
}

impl TenantCounters {
    pub(crate) fn add(&mut self, tenant: TenantId, kind: CounterKind, key: &str, delta: i64) {
        let count = self
            .deltas
            .entry((tenant, kind, key.to_owned()))
            .or_default();
        *count += delta;
    }

    /// Counts a created device (no `before`) or a changed one.
    pub(crate) fn count_device(
        &mut self,
        tenant: TenantId,
        before: Option<&DeviceTraits>,
        after: &DeviceTraits,
    ) {
        if let Some(before) = before {
            self.add_device(tenant, before, -1);
        }
        self.add_device(tenant, after, 1);
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
        let version = traits.sw_version.as_deref().unwrap_or_default();
        self.add(tenant, CounterKind::DevicesByVersion, version, delta);
        let model = traits.hw_model.as_deref().unwrap_or_default();
        self.add(tenant, CounterKind::DevicesByModel, model, delta);
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

    /// Writes the changes. Must be the last statement before the commit.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        let deltas = self.deltas.iter().filter(|(_, delta)| **delta != 0);
        let deltas = deltas.map(|((tenant, kind, key), delta)| CounterRow {
            tenant_id: tenant.0,
            kind: kind.as_str(),
            counter_key: storable(key),
            value: *delta,
        });
        let last_changes = self.last_changes.iter().map(|(tenant, at)| CounterRow {
            tenant_id: tenant.0,
            kind: CounterKind::LastChange.as_str(),
            counter_key: "".into(),
            value: *at,
        });
        upsert(tx, &deltas.chain(last_changes).collect::<Vec<_>>()).await
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

#[derive(Serialize)]
struct CounterRow<'a> {
    tenant_id: i64,
    kind: &'static str,
    counter_key: std::borrow::Cow<'a, str>,
    value: i64,
}

async fn upsert(tx: &mut Tx, rows: &[CounterRow<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let from = tx.dialect().json_rows(
        "delta",
        "$1",
        &[
            ("tenant_id", ColumnType::Int),
            ("kind", ColumnType::Text),
            ("counter_key", ColumnType::Text),
            ("value", ColumnType::Int),
        ],
    );
    let sql = format!(
        "INSERT INTO tenant_counters (tenant_id, kind, counter_key, value) \
         SELECT tenant_id, kind, counter_key, value FROM {from} WHERE true \
         ON CONFLICT (tenant_id, kind, counter_key) DO UPDATE SET value = CASE \
         WHEN tenant_counters.kind <> '{}' THEN tenant_counters.value + excluded.value \
         WHEN tenant_counters.value < excluded.value THEN excluded.value ELSE tenant_counters.value END",
        CounterKind::LastChange.as_str()
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write tenant counters"))?;
    Ok(())
}

/// The hour of a time as a key. Byte order is chronological.
pub(crate) fn hour_key(at: Timestamp) -> String {
    format!("{:012}", at.as_millis() / 3_600_000)
}
