#[cfg(test)]
mod tests;

use tidegate_core::{campaign::Campaign, id::TenantId};
use tidegate_engine::ports::{NewJournalEntry, StoreError};

use super::run_row::CampaignRunRow;
use crate::{database::Database, tenant_counters::TenantCounters};

/// Appends the plugin calls of a start that failed to the journal and replaces the campaign's explanation, if it is still at
/// this generation; otherwise returns false. The campaign is pinned to the revisions that they name as long as it is at it.
pub(crate) async fn record_failed_start(
    database: &Database,
    tenant: TenantId,
    campaign: &Campaign,
    journal: &[NewJournalEntry],
    explain: &[String],
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let locked = CampaignRunRow::lock_as_read(&mut tx, tenant, campaign);
    let Some(mut run_row) = locked.await? else {
        return Ok(false);
    };
    run_row.append_journal(&mut tx, journal).await?;
    run_row.set_explanation(explain)?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}
