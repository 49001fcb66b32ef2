//! Counters for people and metrics, kept with every change and never counted.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_core::{
    campaign::CampaignStatus, device::DeviceState, id::TenantId, time::Timestamp,
    update::UpdateStatus,
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_json},
};

/// What is counted, by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CounterKind {
    DevicesByState,
    DevicesByVersion,
    DevicesByModel,
    /// Those that report another version than their last completed update brought; no key.
    DevicesDrifted,
    UpdatesByStatus,
    CampaignsByStatus,
    /// By the hour of their end, see [`hour_key`].
    CompletedInHour,
    /// Failed or timed out.
    FailedInHour,
    /// No count: the time of the last change, in milliseconds.
    LastChange,
}

impl CounterKind {
    const ALL: [Self; 9] = [
        Self::DevicesByState,
        Self::DevicesByVersion,
        Self::DevicesByModel,
        Self::DevicesDrifted,
        Self::UpdatesByStatus,
        Self::CampaignsByStatus,
        Self::CompletedInHour,
        Self::FailedInHour,
        Self::LastChange,
    ];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DevicesByState => "devices_by_state",
            Self::DevicesByVersion => "devices_by_version",
            Self::DevicesByModel => "devices_by_model",
            Self::DevicesDrifted => "devices_drifted",
            Self::UpdatesByStatus => "updates_by_status",
            Self::CampaignsByStatus => "campaigns_by_status",
            Self::CompletedInHour => "completed_in_hour",
            Self::FailedInHour => "failed_in_hour",
            Self::LastChange => "last_change",
        }
    }
}

/// What a device is counted by. None: unknown, counted under the empty name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceTraits {
    pub state: DeviceState,
    pub sw_version: Option<String>,
    pub hw_model: Option<String>,
    pub drifted: bool,
}

/// The counts that a transaction moves. BatchWriter them while it runs and [`Self::write`] them last: every transaction
/// then takes these much-wanted rows in the same order, and holds them for the shortest time.
#[derive(Debug, Default)]
pub(crate) struct TenantCounters {
    deltas: BTreeMap<(TenantId, CounterKind, String), i64>,
    last_changes: BTreeMap<TenantId, i64>,
}

impl TenantCounters {
    /// Adds to one count.
    pub(crate) fn add(&mut self, tenant: TenantId, kind: CounterKind, key: &str, delta: i64) {
        let count = self
            .deltas
            .entry((tenant, kind, key.to_owned()))
            .or_default();
        *count += delta;
    }

    /// A device was made (no `before`) or changed.
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

    /// A device is not there any more.
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

    /// An update was made (no `before`) or moved on.
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

    /// An update failed, and its next try was made: that it failed is nobody's failure.
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

    /// A campaign was made (no `before`) or changed its status.
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

    /// Writes them; the last thing before the commit.
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

/// The sum of what is kept of a kind, of one key or of all.
pub(crate) async fn total(
    tx: &mut Tx,
    tenant: TenantId,
    kind: CounterKind,
    key: Option<&str>,
) -> Result<u64, StoreError> {
    const READ: &str = "read the tallies";
    // A sum of integers is a NUMERIC on PostgreSQL.
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
        .map_err(failed("keep the tallies"))?;
    Ok(())
}

/// The hour in which a time lies, as a key: byte order is the order of the hours.
pub(crate) fn hour_key(at: Timestamp) -> String {
    format!("{:012}", at.as_millis() / 3_600_000)
}
