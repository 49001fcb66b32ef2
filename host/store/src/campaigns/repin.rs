use serde_json::json;
use tidegate_core::{
    campaign::Campaign,
    id::{CampaignId, TenantId},
    plugin::PluginName,
};
use tidegate_engine::{
    Ctx,
    ports::{Repin, StoreError},
};

use super::{
    create::{add_pinned_revisions, revisions},
    json::PluginJson,
    run_row::CampaignRunRow,
};
use crate::{
    audit::{self, AuditEntry},
    blob::{pack_states, unpack_states},
    database::{Database, Tx},
    error::{failed, internal},
    rows::{RowExt as _, row_error, to_json},
    sql::SqlText,
    tenant_counters::TenantCounters,
};

/// The campaigns that have not ended and use a revision of another contract than these.
pub(crate) async fn of_other_contracts(
    database: &Database,
    tenant: TenantId,
    contracts: &[&str],
) -> Result<Vec<CampaignId>, StoreError> {
    const READ: &str = "read the campaigns of other contracts";
    static SQL: SqlText = SqlText::new(|dialect| {
        let contracts = dialect.json_texts("$2");
        format!(
            "SELECT DISTINCT r.campaign_id FROM campaign_runs r \
             JOIN campaign_revisions c ON c.tenant_id = r.tenant_id AND c.campaign_id = r.campaign_id \
             JOIN plugin_revisions p ON p.tenant_id = c.tenant_id AND p.digest = c.digest \
             WHERE r.tenant_id = $1 AND r.status IN ('created', 'in_progress', 'paused', 'held') AND c.is_current = 1 \
             AND p.contract NOT IN (SELECT value FROM {contracts}) ORDER BY r.campaign_id"
        )
    });
    let mut tx = database.read().await?;
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&contracts)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let ids = rows
        .iter()
        .map(|row| row.take("campaign_id").map(CampaignId));
    ids.collect::<Result<_, _>>().map_err(row_error(READ))
}

/// Moves a campaign to other revisions, if it is still at this generation; otherwise returns false.
pub(crate) async fn repin(
    database: &Database,
    ctx: &Ctx,
    campaign: &Campaign,
    repin: Repin,
) -> Result<bool, StoreError> {
    let (tenant, id) = (ctx.tenant, campaign.id);
    let Repin {
        spec,
        discards_state,
        journal,
    } = repin;
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock_as_read(&mut tx, tenant, campaign).await? else {
        return Ok(false);
    };
    let (before, after) = (revisions(&campaign.spec), revisions(&spec));
    add_pinned_revisions(&mut tx, tenant, id, &after).await?;
    if let Some(plugin) = discards_state {
        discard_state(&mut tx, campaign, &plugin).await?;
    }
    let policies: Vec<PluginJson> = spec.policies.into_iter().map(Into::into).collect();
    sqlx::query(
        "UPDATE campaigns SET strategy = $3, policies = $4 WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(to_json(&PluginJson::from(spec.strategy))?)
    .bind(to_json(&policies)?)
    .execute(tx.conn())
    .await
    .map_err(failed("pin a campaign to other revisions"))?;
    run_row.generation += 1;
    run_row.append_journal(&mut tx, &[journal]).await?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    let (before, after) = (
        json!({ "revisions": before }),
        json!({ "revisions": after }),
    );
    let entry = AuditEntry::new("campaign.repin", id, before, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Empties the state of a plugin of a campaign.
async fn discard_state(
    tx: &mut Tx,
    campaign: &Campaign,
    plugin: &PluginName,
) -> Result<(), StoreError> {
    const DISCARD: &str = "discard the state of a plugin";
    let (tenant, id) = (campaign.tenant, campaign.id);
    let packed: Vec<u8> = sqlx::query_scalar(
        "SELECT policy_states FROM campaign_states WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(DISCARD))?;
    let mut states = unpack_states(&packed).map_err(|error| internal(DISCARD)(Box::new(error)))?;
    for (state, used) in states.iter_mut().zip(&campaign.spec.policies) {
        if used.plugin == *plugin {
            state.clear();
        }
    }
    let is_strategy = campaign.spec.strategy.plugin == *plugin;
    let strategy = is_strategy.then(Vec::<u8>::new);
    sqlx::query(
        "UPDATE campaign_states SET strategy_state = COALESCE($3, strategy_state), policy_states = $4 \
         WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(strategy)
    .bind(pack_states(&states))
    .execute(tx.conn())
    .await
    .map_err(failed(DISCARD))?;
    Ok(())
}
