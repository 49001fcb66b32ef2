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
    dialect::{Type, storable},
    error::failed,
    rows::{Columns as _, bad_row, to_json},
};

/// What is counted, by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    DevicesByState,
    DevicesByVersion,
    DevicesByModel,
    /// Those that report another version than their last completed update brought; no key.
    DevicesDrifted,
    UpdatesByStatus,
    CampaignsByStatus,
    /// By the hour of their end, see [`hour`].
    CompletedInHour,
    /// Failed or timed out.
    FailedInHour,
    /// No count: the time of the last change, in milliseconds.
    LastChange,
}

impl Kind {
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

/// The counts that a transaction moves. Gather them while it runs and [`Self::write`] them last: every transaction
/// then takes these much-wanted rows in the same order, and holds them for the shortest time.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    moved: BTreeMap<(TenantId, Kind, String), i64>,
    changed: BTreeMap<TenantId, i64>,
}

impl Tallies {
    /// Adds to one count.
    pub(crate) fn add(&mut self, tenant: TenantId, kind: Kind, key: &str, delta: i64) {
        let count = self
            .moved
            .entry((tenant, kind, key.to_owned()))
            .or_default();
        *count += delta;
    }

    /// A device was made (no `before`) or changed.
    pub(crate) fn device(
        &mut self,
        tenant: TenantId,
        before: Option<&DeviceTraits>,
        after: &DeviceTraits,
    ) {
        if let Some(before) = before {
            self.count_device(tenant, before, -1);
        }
        self.count_device(tenant, after, 1);
    }

    /// A device is not there any more.
    pub(crate) fn device_gone(&mut self, tenant: TenantId, before: &DeviceTraits) {
        self.count_device(tenant, before, -1);
    }

    fn count_device(&mut self, tenant: TenantId, traits: &DeviceTraits, delta: i64) {
        self.add(tenant, Kind::DevicesByState, traits.state.as_str(), delta);
        let version = traits.sw_version.as_deref().unwrap_or_default();
        self.add(tenant, Kind::DevicesByVersion, version, delta);
        let model = traits.hw_model.as_deref().unwrap_or_default();
        self.add(tenant, Kind::DevicesByModel, model, delta);
        if traits.drifted {
            self.add(tenant, Kind::DevicesDrifted, "", delta);
        }
    }

    /// An update was made (no `before`) or moved on.
    pub(crate) fn update(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        self.update_stands(tenant, before, after, at);
        if before != Some(after) {
            let of_late = match after {
                UpdateStatus::Completed => Some(Kind::CompletedInHour),
                UpdateStatus::Failed | UpdateStatus::TimedOut => Some(Kind::FailedInHour),
                _ => None,
            };
            if let Some(kind) = of_late {
                self.add(tenant, kind, &hour(at), 1);
            }
        }
    }

    /// An update failed, and its next try was made: that it failed is nobody's failure.
    pub(crate) fn update_retried(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        self.update_stands(tenant, before, after, at);
        self.update_stands(tenant, None, UpdateStatus::Scheduled, at);
    }

    fn update_stands(
        &mut self,
        tenant: TenantId,
        before: Option<UpdateStatus>,
        after: UpdateStatus,
        at: Timestamp,
    ) {
        if let Some(before) = before {
            self.add(tenant, Kind::UpdatesByStatus, before.as_str(), -1);
        }
        self.add(tenant, Kind::UpdatesByStatus, after.as_str(), 1);
        let changed = self.changed.entry(tenant).or_insert(at.0);
        *changed = at.0.max(*changed);
    }

    /// A campaign was made (no `before`) or changed its status.
    pub(crate) fn campaign(
        &mut self,
        tenant: TenantId,
        before: Option<CampaignStatus>,
        after: CampaignStatus,
    ) {
        if let Some(before) = before {
            self.add(tenant, Kind::CampaignsByStatus, before.as_str(), -1);
        }
        self.add(tenant, Kind::CampaignsByStatus, after.as_str(), 1);
    }

    /// Writes them; the last thing before the commit.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        let moved = self.moved.iter().filter(|(_, delta)| **delta != 0);
        let moved = moved.map(|((tenant, kind, key), delta)| TallyRow {
            tenant_id: tenant.0,
            kind: kind.as_str(),
            tally_key: storable(key),
            n: *delta,
        });
        let changed = self.changed.iter().map(|(tenant, at)| TallyRow {
            tenant_id: tenant.0,
            kind: Kind::LastChange.as_str(),
            tally_key: "".into(),
            n: *at,
        });
        upsert(tx, &moved.chain(changed).collect::<Vec<_>>()).await
    }
}

/// The sum of what is kept of a kind, of one key or of all.
pub(crate) async fn total(
    tx: &mut Tx,
    tenant: TenantId,
    kind: Kind,
    key: Option<&str>,
) -> Result<u64, StoreError> {
    const READ: &str = "read the tallies";
    // A sum of integers is a NUMERIC on PostgreSQL.
    let sql = "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS total FROM tallies \
         WHERE tenant_id = $1 AND kind = $2 AND (tally_key = $3 OR $3 IS NULL)";
    let row = sqlx::query(sql)
        .bind(tenant.0)
        .bind(kind.as_str())
        .bind(key)
        .fetch_one(tx.conn())
        .await
        .map_err(failed(READ))?;
    row.count("total").map_err(bad_row(READ))
}

#[derive(Serialize)]
struct TallyRow<'a> {
    tenant_id: i64,
    kind: &'static str,
    tally_key: std::borrow::Cow<'a, str>,
    n: i64,
}

async fn upsert(tx: &mut Tx, rows: &[TallyRow<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let from = tx.dialect().rows(
        "delta",
        "$1",
        &[
            ("tenant_id", Type::Int),
            ("kind", Type::Text),
            ("tally_key", Type::Text),
            ("n", Type::Int),
        ],
    );
    let sql = format!(
        "INSERT INTO tallies (tenant_id, kind, tally_key, n) \
         SELECT tenant_id, kind, tally_key, n FROM {from} WHERE true \
         ON CONFLICT (tenant_id, kind, tally_key) DO UPDATE SET n = CASE \
         WHEN tallies.kind <> '{}' THEN tallies.n + excluded.n \
         WHEN tallies.n < excluded.n THEN excluded.n ELSE tallies.n END",
        Kind::LastChange.as_str()
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("keep the tallies"))?;
    Ok(())
}

/// The hour in which a time lies, as a key: byte order is the order of the hours.
pub(crate) fn hour(at: Timestamp) -> String {
    format!("{:012}", at.as_millis() / 3_600_000)
}
