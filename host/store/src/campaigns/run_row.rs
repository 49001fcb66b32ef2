use sqlx::AssertSqlSafe;
use tidegate_core::{
    Named as _,
    campaign::{Approval, AwaitedGate, Campaign, CampaignStatus, Hold, Rollback},
    id::{CampaignId, TenantId},
    plugin::OperatorAct,
    time::Timestamp,
};
use tidegate_engine::ports::{NewJournalEntry, PluginFailureState, RecentTicks, StoreError};

use super::json::{
    ActJson, ApprovalJson, AwaitingJson, HoldJson, MAX_OPERATOR_ACTS, RollbackJson, json_list,
};
use crate::{
    database::Tx,
    error::{failed, internal},
    journal::{self, JournalExtent},
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    tenant_counters::{CounterKind, TenantCounters},
};

/// A row of `campaign_runs`, locked until the transaction ends: read, compared, changed and written back.
#[derive(Debug)]
pub(crate) struct CampaignRunRow {
    tenant: TenantId,
    campaign: CampaignId,
    status_before: CampaignStatus,
    status: CampaignStatus,
    pub(crate) generation: i64,
    pub(crate) fence: i64,
    pub(crate) plugin_failures: PluginFailureState,
    /// Ticks in a row that no event caused and that changed nothing.
    pub(crate) unchanged_ticks: u32,
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) parallel: bool,
    pub(crate) is_dynamic: bool,
    pub(crate) total_devices: u64,
    pub(crate) joined_devices: u64,
    /// When the targeted devices are checked for those that changed while the campaign started.
    pub(crate) join_scan_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    /// Of a tick or of a call of a plugin, whichever is later. The column has its name from when only ticks were counted.
    pub(crate) last_call_at: Option<Timestamp>,
    /// Whether the lease ends when the row is written.
    pub(crate) releases_lease: bool,
    journal_bytes_before: u64,
    journal: JournalExtent,
    acts: Vec<OperatorAct>,
    /// JSON, as stored.
    hold: Option<String>,
    awaiting: Option<String>,
    approval: Option<String>,
    rollback: Option<String>,
    explain: String,
}

impl CampaignRunRow {
    pub(crate) async fn lock(
        tx: &mut Tx,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Self>, StoreError> {
        let lock = tx.dialect().for_update();
        Self::select(tx, tenant, campaign, lock).await
    }

    /// Locks the row of a campaign that was read. `None`: it is at another generation now, or was deleted.
    pub(crate) async fn lock_as_read(
        tx: &mut Tx,
        tenant: TenantId,
        campaign: &Campaign,
    ) -> Result<Option<Self>, StoreError> {
        let row = Self::lock(tx, tenant, campaign.id).await?;
        Ok(row.filter(|row| row.generation == campaign.generation))
    }

    /// Reads without a lock.
    pub(crate) async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Self>, StoreError> {
        Self::select(tx, tenant, campaign, "").await
    }

    async fn select(
        tx: &mut Tx,
        tenant: TenantId,
        campaign: CampaignId,
        lock: &str,
    ) -> Result<Option<Self>, StoreError> {
        const READ: &str = "read campaign run";
        let sql = format!(
            "SELECT status, generation, fence, plugin_failures, plugin_timeouts, plugin_recent_ticks, \
             plugin_recent_timeouts, plugin_retry_at, unchanged_ticks, wake_at, parallel, is_dynamic, total_devices, \
             joined_devices, join_scan_at, started_at, ended_at, \
             last_tick_at, journal_seq, journal_removed, journal_since, journal_bytes, operator_acts, hold, awaiting, approval, \
             rollback, explain \
             FROM campaign_runs WHERE tenant_id = $1 AND campaign_id = $2{lock}"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(campaign.0)
            .fetch_optional(tx.conn())
            .await
            .map_err(failed(READ))?;
        let Some(row) = row else { return Ok(None) };
        let read = || {
            let status: CampaignStatus = row.parse("status")?;
            let journal = JournalExtent::from_row(&row)?;
            let counter =
                |column| Ok::<_, RowError>(u32::try_from(row.count(column)?).unwrap_or(u32::MAX));
            Ok::<_, RowError>(Self {
                tenant,
                campaign,
                status_before: status,
                status,
                generation: row.take("generation")?,
                fence: row.take("fence")?,
                plugin_failures: PluginFailureState {
                    failures: counter("plugin_failures")?,
                    timeouts: counter("plugin_timeouts")?,
                    recent: RecentTicks(counter("plugin_recent_ticks")?),
                    recent_timeouts: RecentTicks(counter("plugin_recent_timeouts")?),
                    retry_at: row.take::<Option<i64>>("plugin_retry_at")?.map(Timestamp),
                },
                unchanged_ticks: counter("unchanged_ticks")?,
                wake_at: row.take::<Option<i64>>("wake_at")?.map(Timestamp),
                parallel: row.flag("parallel")?,
                is_dynamic: row.flag("is_dynamic")?,
                total_devices: row.count("total_devices")?,
                joined_devices: row.count("joined_devices")?,
                join_scan_at: row.take::<Option<i64>>("join_scan_at")?.map(Timestamp),
                started_at: row.take::<Option<i64>>("started_at")?.map(Timestamp),
                ended_at: row.take::<Option<i64>>("ended_at")?.map(Timestamp),
                last_call_at: row.take::<Option<i64>>("last_tick_at")?.map(Timestamp),
                releases_lease: false,
                journal_bytes_before: journal.bytes,
                journal,
                acts: json_list::<ActJson, _>(&row, "operator_acts")?,
                hold: row.take("hold")?,
                awaiting: row.take("awaiting")?,
                approval: row.take("approval")?,
                rollback: row.take("rollback")?,
                explain: row.take("explain")?,
            })
        };
        read().map(Some).map_err(row_error(READ))
    }

    pub(crate) fn status(&self) -> CampaignStatus {
        self.status
    }

    pub(crate) fn into_acts(self) -> Vec<OperatorAct> {
        self.acts
    }

    /// Leaving `held` clears the hold and the plugin failures. The end of the rollout clears the gate at which the
    /// campaign waits. Leaving a final status clears the end.
    pub(crate) fn set_status(&mut self, status: CampaignStatus) {
        if self.status.ends_hold(status) {
            self.hold = None;
            self.plugin_failures = PluginFailureState::default();
        }
        if status.ends_rollout() {
            self.awaiting = None;
        }
        if !status.is_final() {
            self.ended_at = None;
        }
        self.status = status;
    }

    pub(crate) fn set_hold(&mut self, hold: Hold) -> Result<(), StoreError> {
        self.hold = Some(to_json(&HoldJson::from(hold))?);
        Ok(())
    }

    pub(crate) fn set_awaiting(&mut self, awaiting: Option<AwaitedGate>) -> Result<(), StoreError> {
        let json = awaiting.map(|awaiting| to_json(&AwaitingJson::from(awaiting)));
        self.awaiting = json.transpose()?;
        Ok(())
    }

    pub(crate) fn set_approval(&mut self, approval: Approval) -> Result<(), StoreError> {
        self.approval = Some(to_json(&ApprovalJson::from(approval))?);
        Ok(())
    }

    pub(crate) fn clear_approval(&mut self) {
        self.approval = None;
    }

    pub(crate) fn set_rollback(&mut self, rollback: Rollback) -> Result<(), StoreError> {
        self.rollback = Some(to_json(&RollbackJson::from(rollback))?);
        Ok(())
    }

    /// When the rollback was requested.
    pub(crate) fn rollback_since(&self) -> Result<Option<Timestamp>, StoreError> {
        const READ: &str = "read the rollback of a campaign";
        let Some(text) = &self.rollback else {
            return Ok(None);
        };
        let json: RollbackJson =
            serde_json::from_str(text).map_err(|error| internal(READ)(Box::new(error)))?;
        let rollback = Rollback::try_from(json).map_err(row_error(READ))?;
        Ok(rollback.since)
    }

    pub(crate) fn set_explanation(&mut self, sentences: &[String]) -> Result<(), StoreError> {
        self.explain = to_json(&sentences)?;
        Ok(())
    }

    pub(crate) fn push_operator_act(&mut self, act: OperatorAct) {
        self.acts.push(act);
        let excess = self.acts.len().saturating_sub(MAX_OPERATOR_ACTS);
        self.acts.drain(..excess);
    }

    /// Appends entries. Their calls advance the time that later calls are shown.
    pub(crate) async fn append_journal(
        &mut self,
        tx: &mut Tx,
        entries: &[NewJournalEntry],
    ) -> Result<(), StoreError> {
        let (tenant, campaign) = (self.tenant, self.campaign);
        let calls = entries.iter().filter(|entry| entry.plugin.is_some());
        self.last_call_at = self.last_call_at.max(calls.map(|entry| entry.at).max());
        journal::append(tx, tenant, campaign, &mut self.journal, entries).await
    }

    /// Removes up to `limit` journal entries of before this time, and returns their number.
    pub(crate) async fn remove_old_entries(
        &mut self,
        tx: &mut Tx,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let (tenant, campaign) = (self.tenant, self.campaign);
        journal::remove(tx, tenant, campaign, &mut self.journal, before, limit).await
    }

    /// Writes the row, and counts a changed status and the bytes of the journal. The caller has incremented the generation
    /// if something changed.
    pub(crate) async fn write(
        self,
        tx: &mut Tx,
        tenant_counters: &mut TenantCounters,
    ) -> Result<(), StoreError> {
        let acts: Vec<ActJson> = self.acts.into_iter().map(Into::into).collect();
        sqlx::query(
            "UPDATE campaign_runs SET status = $3, generation = $4, plugin_failures = $5, wake_at = $6, parallel = $7, \
             total_devices = $8, started_at = $9, ended_at = $10, journal_seq = $11, operator_acts = $12, hold = $13, \
             approval = $14, rollback = $15, explain = $16, plugin_timeouts = $17, plugin_retry_at = $18, \
             awaiting = $19, last_tick_at = $20, \
             lease_owner = CASE WHEN $21 = 1 THEN NULL ELSE lease_owner END, \
             lease_until = CASE WHEN $21 = 1 THEN NULL ELSE lease_until END, plugin_recent_ticks = $22, unchanged_ticks = $23, \
             journal_removed = $24, journal_since = $25, journal_bytes = $26, plugin_recent_timeouts = $27, is_dynamic = $28, \
             joined_devices = $29, join_scan_at = $30 \
             WHERE tenant_id = $1 AND campaign_id = $2",
        )
        .bind(self.tenant.0)
        .bind(self.campaign.0)
        .bind(self.status.as_str())
        .bind(self.generation)
        .bind(i64::from(self.plugin_failures.failures))
        .bind(self.wake_at.map(|at| at.0))
        .bind(i64::from(self.parallel))
        .bind(to_i64(self.total_devices))
        .bind(self.started_at.map(|at| at.0))
        .bind(self.ended_at.map(|at| at.0))
        .bind(self.journal.last)
        .bind(to_json(&acts)?)
        .bind(self.hold)
        .bind(self.approval)
        .bind(self.rollback)
        .bind(self.explain)
        .bind(i64::from(self.plugin_failures.timeouts))
        .bind(self.plugin_failures.retry_at.map(|at| at.0))
        .bind(self.awaiting)
        .bind(self.last_call_at.map(|at| at.0))
        .bind(i64::from(self.releases_lease))
        .bind(i64::from(self.plugin_failures.recent.0))
        .bind(i64::from(self.unchanged_ticks))
        .bind(self.journal.removed)
        .bind(self.journal.since.map(|at| at.0))
        .bind(to_i64(self.journal.bytes))
        .bind(i64::from(self.plugin_failures.recent_timeouts.0))
        .bind(i64::from(self.is_dynamic))
        .bind(to_i64(self.joined_devices))
        .bind(self.join_scan_at.map(|at| at.0))
        .execute(tx.conn())
        .await
        .map_err(failed("write campaign run"))?;
        let more_bytes = to_i64(self.journal.bytes) - to_i64(self.journal_bytes_before);
        tenant_counters.add(self.tenant, CounterKind::JournalBytes, "", more_bytes);
        if self.status_before != self.status {
            tenant_counters.count_campaign(self.tenant, Some(self.status_before), self.status);
        }
        Ok(())
    }

    /// Counts that the campaign is deleted as it was read, with its journal.
    pub(crate) fn uncount(&self, tenant_counters: &mut TenantCounters) {
        tenant_counters.uncount_campaign(self.tenant, self.status_before);
        let bytes = to_i64(self.journal_bytes_before);
        tenant_counters.add(self.tenant, CounterKind::JournalBytes, "", -bytes);
    }
}
