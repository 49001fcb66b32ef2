use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use tidegate_core::{
    id::{CampaignId, TenantId},
    rollback::RollbackActionName,
    time::Timestamp,
    update::{INCOMPATIBLE, Purpose, Update, UpdateStatus},
    wave::Bucket,
};
use tidegate_engine::ports::StoreError;

use super::{LoadedUpdate, histogram::bucket};
use crate::{
    database::Tx,
    dialect::ColumnType,
    error::failed,
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
};

/// The maximum number of error codes per wave. Devices can report any code; the remaining ones are counted together.
const MAX_ERROR_CODES: usize = 64;
/// The code that counts the remaining ones.
const OTHER_CODE: &str = "OTHER";

/// The changes of a transaction to the campaign counters of one tenant.
#[derive(Debug, Default)]
pub(super) struct CampaignCounters(BTreeMap<CampaignId, CampaignDelta>);

#[derive(Debug, Default)]
struct CampaignDelta {
    open_updates: i64,
    scheduled_retries: i64,
    rollback_pending: i64,
    open_rollbacks: i64,
    rolled_back: i64,
    rollback_failed: i64,
    rollback_impossible: i64,
    pinned: i64,
    already_rolling_back: i64,
    awaiting_version: i64,
    /// Whether the campaign is to be marked dirty.
    dirty: bool,
    waves: BTreeMap<u32, WaveDelta>,
    failures: BTreeMap<(u32, String), i64>,
    /// By wave and bucket.
    durations: BTreeMap<(u32, i64), i64>,
}

#[derive(Debug, Default)]
struct WaveDelta {
    admitted: i64,
    buckets: BTreeMap<Bucket, i64>,
}

/// The status that the campaign counts.
fn counted_status(update: &Update) -> UpdateStatus {
    if update.attempt.is_retried {
        UpdateStatus::Scheduled
    } else {
        update.state.status
    }
}

/// The change of the number of updates whose device's version is awaited.
fn awaiting_version(update: &Update, before: Option<UpdateStatus>) -> i64 {
    let was_awaited = update.state.cancel_acknowledged && before == Some(UpdateStatus::Verifying);
    i64::from(update.state.awaits_version()) - i64::from(was_awaited)
}

impl CampaignCounters {
    /// Counts a created update (no `before`) or a changed one. An update that was replaced by a retry counts as the
    /// retry, which is not counted when it is created.
    pub(super) fn count_update(&mut self, update: &Update, before: Option<UpdateStatus>) {
        let Some((campaign, purpose)) = update.campaign else {
            return;
        };
        let campaign = self.0.entry(campaign).or_default();
        let after = counted_status(update);
        let was_open = before.is_some_and(UpdateStatus::is_open);
        let opens = i64::from(after.is_open()) - i64::from(was_open);
        let ends = !after.is_open();
        campaign.dirty |=
            ends || (before.is_some() && before.map(UpdateStatus::bucket) != Some(after.bucket()));
        match purpose {
            Purpose::Forward { wave } => {
                campaign.open_updates += opens;
                let awaiting = awaiting_version(update, before);
                campaign.awaiting_version += awaiting;
                campaign.dirty |= awaiting != 0;
                campaign.scheduled_retries += i64::from(after == UpdateStatus::Scheduled)
                    - i64::from(before == Some(UpdateStatus::Scheduled));
                campaign.rollback_pending += i64::from(ends);
                campaign.count_in_wave(wave, update, before);
            }
            Purpose::Rollback => {
                campaign.open_rollbacks += opens;
                campaign.rolled_back += i64::from(after == UpdateStatus::Completed);
                campaign.rollback_failed += i64::from(ends && after != UpdateStatus::Completed);
            }
        }
    }

    /// Takes back that an update ended: it counts as scheduled.
    pub(super) fn uncount_end(&mut self, ended: &LoadedUpdate) {
        let update = &ended.update;
        let Some((campaign, purpose)) = update.campaign else {
            return;
        };
        let campaign = self.0.entry(campaign).or_default();
        match purpose {
            Purpose::Forward { wave } => {
                campaign.open_updates += 1;
                campaign.scheduled_retries += 1;
                campaign.rollback_pending -= i64::from(ended.rollback_processed_at.is_none());
                campaign.add_rollback_action(ended.rollback_action, -1);
                let buckets = &mut campaign.waves.entry(wave).or_default().buckets;
                *buckets.entry(update.state.status.bucket()).or_default() -= 1;
                *buckets.entry(UpdateStatus::Scheduled.bucket()).or_default() += 1;
                if counts_end(update) {
                    campaign.add_end(wave, update, -1);
                }
            }
            Purpose::Rollback => {
                campaign.open_rollbacks += 1;
                campaign.rollback_failed -= 1;
            }
        }
    }

    /// Wakes a campaign although none of its counters change.
    pub(super) fn mark_dirty(&mut self, campaign: CampaignId) {
        self.0.entry(campaign).or_default().dirty = true;
    }

    /// Counts admitted devices. `not_offered` of them were deleted or skipped, and count as cancelled.
    pub(super) fn count_admitted(
        &mut self,
        campaign: CampaignId,
        wave: u32,
        devices: u64,
        not_offered: u64,
    ) {
        let campaign = self.0.entry(campaign).or_default();
        let wave = campaign.waves.entry(wave).or_default();
        wave.admitted += devices as i64;
        *wave.buckets.entry(Bucket::Cancelled).or_default() += not_offered as i64;
        campaign.dirty |= not_offered > 0;
    }

    /// Counts a skipped device that is offered its update after all: it no longer counts as cancelled.
    pub(super) fn count_readmitted(&mut self, campaign: CampaignId, wave: u32) {
        let campaign = self.0.entry(campaign).or_default();
        let wave = campaign.waves.entry(wave).or_default();
        *wave.buckets.entry(Bucket::Cancelled).or_default() -= 1;
    }

    /// Counts an ended update that a rollback processed.
    pub(super) fn mark_rollback_processed(
        &mut self,
        campaign: CampaignId,
        action: RollbackActionName,
    ) {
        let campaign = self.0.entry(campaign).or_default();
        campaign.rollback_pending -= 1;
        campaign.add_rollback_action(Some(action), 1);
    }

    /// Takes back that a rollback processed an ended update, with this action.
    pub(super) fn reopen_rollback(
        &mut self,
        campaign: CampaignId,
        action: Option<RollbackActionName>,
    ) {
        let campaign = self.0.entry(campaign).or_default();
        campaign.rollback_pending += 1;
        campaign.add_rollback_action(action, -1);
        campaign.dirty = true;
    }

    /// Adds the changes to the stored counters. The rows of `campaign_counters` come first and in order, because they
    /// are the locks.
    pub(super) async fn write(
        self,
        tx: &mut Tx,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        for (id, campaign) in &self.0 {
            campaign.write(tx, tenant, *id, now).await?;
        }
        self.write_failures(tx, tenant).await?;
        self.write_durations(tx, tenant).await
    }

    async fn write_failures(&self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        static SQL: SqlText = SqlText::new(|dialect| {
            let columns = [
                ("campaign_id", ColumnType::Int),
                ("wave", ColumnType::Int),
                ("code", ColumnType::Text),
                ("devices", ColumnType::Int),
            ];
            let from = dialect.json_rows("d", "$2", &columns);
            format!(
                "INSERT INTO wave_failures (tenant_id, campaign_id, wave, code, devices) \
                 SELECT $1, d.campaign_id, d.wave, d.code, d.devices FROM {from} WHERE true \
                 ON CONFLICT (tenant_id, campaign_id, wave, code) \
                 DO UPDATE SET devices = wave_failures.devices + excluded.devices"
            )
        });

        let mut known = KnownCodes::default();
        for (id, campaign) in &self.0 {
            if !campaign.failures.is_empty() {
                read_codes(tx, tenant, *id, &mut known).await?;
            }
        }
        let mut rows: BTreeMap<(i64, u32, &str), i64> = BTreeMap::new();
        for (id, campaign) in &self.0 {
            for ((wave, code), devices) in &campaign.failures {
                let codes = known.codes(id.0, *wave);
                let code = if codes.contains(code) || codes.len() < MAX_ERROR_CODES {
                    codes.insert(code.clone());
                    code
                } else {
                    OTHER_CODE
                };
                *rows.entry((id.0, *wave, code)).or_default() += devices;
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|((campaign_id, wave, code), devices)| FailureRow {
                campaign_id,
                wave,
                code,
                devices,
            })
            .collect();
        let values = [tenant.0.into(), to_json(&rows)?.into()];
        tx.execute_later("count failures", SQL.of(tx.dialect()), values)
            .await
    }

    async fn write_durations(&self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        static SQL: SqlText = SqlText::new(|dialect| {
            let columns = ["campaign_id", "wave", "bucket", "updates"]
                .map(|column| (column, ColumnType::Int));
            let from = dialect.json_rows("d", "$2", &columns);
            format!(
                "INSERT INTO wave_durations (tenant_id, campaign_id, wave, bucket, updates) \
                 SELECT $1, d.campaign_id, d.wave, d.bucket, d.updates FROM {from} WHERE true \
                 ON CONFLICT (tenant_id, campaign_id, wave, bucket) \
                 DO UPDATE SET updates = wave_durations.updates + excluded.updates"
            )
        });

        let rows: Vec<_> = self
            .0
            .iter()
            .flat_map(|(id, campaign)| {
                campaign
                    .durations
                    .iter()
                    .map(|((wave, bucket), updates)| DurationRow {
                        campaign_id: id.0,
                        wave: *wave,
                        bucket: *bucket,
                        updates: *updates,
                    })
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let values = [tenant.0.into(), to_json(&rows)?.into()];
        tx.execute_later("count durations", SQL.of(tx.dialect()), values)
            .await
    }
}

/// Whether the error and the duration of an ended update are counted. A rejection is no failure and has no duration, nor
/// has an update that was never offered.
fn counts_end(update: &Update) -> bool {
    let code = update.state.error.as_ref().map(|error| error.code.as_str());
    update.state.status != UpdateStatus::Rejected && code != Some(INCOMPATIBLE)
}

impl CampaignDelta {
    fn add_rollback_action(&mut self, action: Option<RollbackActionName>, delta: i64) {
        match action {
            Some(RollbackActionName::Impossible) => self.rollback_impossible += delta,
            Some(RollbackActionName::Pinned) => self.pinned += delta,
            Some(RollbackActionName::AlreadyRollingBack) => self.already_rolling_back += delta,
            Some(RollbackActionName::Install | RollbackActionName::NotNeeded) | None => {}
        }
    }

    fn count_in_wave(&mut self, wave: u32, update: &Update, before: Option<UpdateStatus>) {
        let after = counted_status(update);
        let buckets = &mut self.waves.entry(wave).or_default().buckets;
        if let Some(before) = before {
            *buckets.entry(before.bucket()).or_default() -= 1;
        }
        *buckets.entry(after.bucket()).or_default() += 1;
        // An update that was completed at creation has no duration.
        if !after.is_open() && counts_end(update) && before.is_some() {
            self.add_end(wave, update, 1);
        }
    }

    /// Counts the error and the duration of an ended update, or takes them back.
    fn add_end(&mut self, wave: u32, update: &Update, delta: i64) {
        if let Some(error) = &update.state.error {
            *self.failures.entry((wave, error.code.clone())).or_default() += delta;
        }
        if let Some(end) = update.state.completed_at {
            let took = end.since(update.state.timeout_starts_at(update.offered_at()));
            *self.durations.entry((wave, bucket(took))).or_default() += delta;
        }
    }

    async fn write(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: CampaignId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE campaign_counters SET open_updates = open_updates + $3, rollback_pending = rollback_pending + $4, \
             open_rollbacks = open_rollbacks + $5, rolled_back = rolled_back + $6, rollback_failed = rollback_failed + $7, \
             rollback_impossible = rollback_impossible + $8, pinned = pinned + $9, already_rolling_back = already_rolling_back + $10, last_progress_at = $11, \
             dirty_since = CASE WHEN $12 IS NULL OR dirty_since < $12 THEN dirty_since ELSE $12 END, \
             awaiting_version = awaiting_version + $13, scheduled_retries = scheduled_retries + $14 \
             WHERE tenant_id = $1 AND campaign_id = $2";

        let values = [
            tenant.0.into(),
            id.0.into(),
            self.open_updates.into(),
            self.rollback_pending.into(),
            self.open_rollbacks.into(),
            self.rolled_back.into(),
            self.rollback_failed.into(),
            self.rollback_impossible.into(),
            self.pinned.into(),
            self.already_rolling_back.into(),
            now.0.into(),
            self.dirty.then_some(now.0).into(),
            self.awaiting_version.into(),
            self.scheduled_retries.into(),
        ];
        tx.execute_later("count updates of a campaign", SQL, values)
            .await?;
        for (index, wave) in &self.waves {
            wave.write(tx, tenant, id, *index, now).await?;
        }
        Ok(())
    }
}

impl WaveDelta {
    async fn write(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        campaign: CampaignId,
        wave: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE waves SET admitted = admitted + $4, offered = offered + $5, in_progress = in_progress + $6, \
             completed = completed + $7, failed = failed + $8, timed_out = timed_out + $9, \
             cancelled = cancelled + $10, rejected = rejected + $11, last_progress_at = $12 WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3";

        let delta = |bucket| self.buckets.get(&bucket).copied().unwrap_or_default();
        let values = [
            tenant.0.into(),
            campaign.0.into(),
            i64::from(wave).into(),
            self.admitted.into(),
            delta(Bucket::Offered).into(),
            delta(Bucket::InProgress).into(),
            delta(Bucket::Completed).into(),
            delta(Bucket::Failed).into(),
            delta(Bucket::TimedOut).into(),
            delta(Bucket::Cancelled).into(),
            delta(Bucket::Rejected).into(),
            now.0.into(),
        ];
        tx.execute_later("count devices of a wave", SQL, values)
            .await
    }
}

#[derive(Serialize)]
struct FailureRow<'a> {
    campaign_id: i64,
    wave: u32,
    code: &'a str,
    devices: i64,
}

#[derive(Serialize)]
struct DurationRow {
    campaign_id: i64,
    wave: u32,
    bucket: i64,
    updates: i64,
}

/// The stored error codes of each wave.
#[derive(Default)]
struct KnownCodes(BTreeMap<(i64, u32), HashSet<String>>);

impl KnownCodes {
    fn codes(&mut self, campaign: i64, wave: u32) -> &mut HashSet<String> {
        self.0.entry((campaign, wave)).or_default()
    }
}

async fn read_codes(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    known: &mut KnownCodes,
) -> Result<(), StoreError> {
    const READ: &str = "read error codes";
    let rows = sqlx::query(
        "SELECT wave, code FROM wave_failures WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    for row in &rows {
        let read = || Ok((row.take::<i64>("wave")? as u32, row.take("code")?));
        let (wave, code) = read().map_err(row_error(READ))?;
        known.codes(campaign.0, wave).insert(code);
    }
    Ok(())
}
