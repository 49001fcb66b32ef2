use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    database::Tx,
    error::failed,
    rows::{RowExt as _, row_error},
    sql::SqlText,
};

const READ: &str = "read which campaigns are due";

static SQL: SqlText = SqlText::new(|dialect| {
    let strategy = dialect.json_member("c.strategy", "plugin");
    format!(
        "SELECT tenant_id, campaign_id FROM (\
         SELECT tenant_id, campaign_id, due_at, \
         ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY strategy_turn, due_at, campaign_id) AS turn FROM (\
         SELECT c.tenant_id, c.id AS campaign_id, MIN(due_at) AS due_at, \
         ROW_NUMBER() OVER (PARTITION BY c.tenant_id, {strategy} ORDER BY MIN(due_at), c.id) AS strategy_turn FROM (\
           SELECT tenant_id, campaign_id, wake_at AS due_at FROM campaign_runs \
           WHERE wake_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) \
           UNION ALL \
           SELECT tenant_id, campaign_id, lease_until AS due_at FROM campaign_runs WHERE lease_until <= $1 \
           UNION ALL \
           SELECT c.tenant_id, c.campaign_id, c.dirty_since AS due_at FROM campaign_counters c \
           JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.campaign_id \
           WHERE c.dirty_since <= $1 AND (r.lease_until IS NULL OR r.lease_until <= $1)\
         ) AS due JOIN campaigns c ON c.tenant_id = due.tenant_id AND c.id = due.campaign_id \
         GROUP BY c.id) AS of_strategies) AS of_tenants \
         ORDER BY turn, due_at, tenant_id LIMIT $2"
    )
});

/// Campaigns of all tenants that are due and not leased. Tenants take turns, and within a tenant strategies, each with its
/// longest overdue campaign first, so that campaigns that wait for slow plugins delay no others. A campaign is due at its
/// wake-up time, while it is dirty, and when its lease expired without being released: that server may have stopped
/// between the decision and its effects.
///
/// Acquiring the lease postpones the wake-up, so a campaign whose ticks fail does not delay the others.
pub(crate) async fn due(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<RunRef>, StoreError> {
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(now.0)
        .bind(i64::from(limit))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| {
            Ok(RunRef {
                tenant: TenantId(row.take("tenant_id")?),
                campaign: CampaignId(row.take("campaign_id")?),
            })
        })
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

/// Marks the campaign dirty from `at` on, unless it already is earlier.
pub(crate) async fn wake(tx: &mut Tx, run: RunRef, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE campaign_counters SET dirty_since = $3 \
         WHERE tenant_id = $1 AND campaign_id = $2 AND (dirty_since IS NULL OR dirty_since > $3)",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("wake a campaign"))?;
    Ok(())
}
