use serde_json::Value;
use sqlx::AssertSqlSafe;
use tidegate_core::{Named as _, id::CampaignId};
use tidegate_engine::{Ctx, ports::StoreError};

use super::{create::audit_fields, read, run_row::CampaignRunRow};
use crate::{
    audit::{self, AuditEntry},
    database::Database,
    error::failed,
    tenant_counters::TenantCounters,
};

/// The tables that have rows of a campaign before its start, and their column with its id. Those that refer to others
/// come first.
const TABLES: [(&str, &str); 7] = [
    ("journal", "campaign_id"),
    ("journal_contents", "campaign_id"),
    ("campaign_revisions", "campaign_id"),
    ("campaign_states", "campaign_id"),
    ("campaign_counters", "campaign_id"),
    ("campaign_runs", "campaign_id"),
    ("campaigns", "id"),
];

/// Deletes a campaign that has never started; one that has is a conflict. Returns false if it does not exist.
pub(crate) async fn delete(
    database: &Database,
    ctx: &Ctx,
    id: CampaignId,
) -> Result<bool, StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let Some(run_row) = CampaignRunRow::lock(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    if run_row.started_at.is_some() {
        let message = "the campaign has started: its updates and its journal are kept";
        return Err(StoreError::Conflict(message.to_owned()));
    }
    let Some(campaign) = read::campaign(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    for (table, column) in TABLES {
        let sql = format!("DELETE FROM {table} WHERE tenant_id = $1 AND {column} = $2");
        sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(id.0)
            .execute(tx.conn())
            .await
            .map_err(failed("delete a campaign"))?;
    }
    let mut tenant_counters = TenantCounters::default();
    run_row.uncount(&mut tenant_counters);
    tenant_counters.write(&mut tx).await?;
    let mut before = audit_fields(&campaign.spec)?;
    before["status"] = campaign.status.as_str().into();
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("campaign.delete", id, before, Value::Null),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}
