//! Figures for people and metrics, read from the tallies.

use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{Statistics, Stats, StoreError};

use crate::{
    SqlStore,
    error::failed,
    rows::{BadRow, Columns as _, bad_row},
    tallies::{Kind, hour},
};

#[cfg(test)]
mod tests;

#[async_trait]
impl Statistics for SqlStore {
    /// `since` counts from the beginning of its hour.
    async fn stats(&self, tenant: TenantId, since: Timestamp) -> Result<Stats, StoreError> {
        let mut tx = self.database.once().await?;
        // What goes by the hour has a row for every hour that ever was: only the late ones are read.
        let rows = sqlx::query(
            "SELECT kind, tally_key, n FROM tallies WHERE tenant_id = $1 AND n > 0 \
             AND (kind NOT IN ('completed_in_hour', 'failed_in_hour') OR tally_key >= $2) \
             ORDER BY kind, tally_key",
        )
        .bind(tenant.0)
        .bind(hour(since))
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the tallies"))?;
        let mut stats = Stats::default();
        for row in &rows {
            let mut read = || -> Result<(), BadRow> {
                let kind = row.word("kind", Kind::parse)?;
                add(&mut stats, kind, row.take("tally_key")?, row.count("n")?);
                Ok(())
            };
            read().map_err(bad_row("read tally row"))?;
        }
        Ok(stats)
    }

    async fn last_move(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut tx = self.database.once().await?;
        let row = sqlx::query(
            "SELECT moved_at FROM campaign_counters WHERE tenant_id = $1 AND campaign_id = $2",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read when a campaign moved"))?;
        let Some(row) = row else { return Ok(None) };
        let moved_at: Option<i64> = row.take("moved_at").map_err(bad_row("read campaign row"))?;
        Ok(moved_at.map(Timestamp))
    }
}

fn add(stats: &mut Stats, kind: Kind, key: String, n: u64) {
    match kind {
        Kind::DevicesByState => stats.devices_by_state.push((key, n)),
        Kind::DevicesByVersion => stats.devices_by_version.push((key, n)),
        Kind::DevicesByModel => stats.devices_by_model.push((key, n)),
        Kind::DevicesDrifted => stats.drifted_devices = n,
        Kind::UpdatesByStatus => stats.updates_by_status.push((key, n)),
        Kind::CampaignsByStatus => stats.campaigns_by_status.push((key, n)),
        Kind::CompletedInHour => stats.completed_of_late += n,
        Kind::FailedInHour => stats.failed_of_late += n,
        Kind::LastChange => stats.last_change = i64::try_from(n).ok().map(Timestamp),
    }
}
