use sqlx::Row as _;
use tidegate_core::{
    id::{CampaignId, TenantId},
    plugin::Durations,
};
use tidegate_engine::ports::{Ending, Run, RunRef, StoreError};

use crate::{
    campaigns::{Standing, campaign, waves},
    database::{Database, Tx},
    error::{failed, internal},
    packed::unpack_states,
    rows::{BadRow, Columns as _, bad_row},
    updates::ledger::durations,
};

/// Everything that a tick looks at, as it stands at one moment.
pub(super) async fn run(database: &Database, run: RunRef) -> Result<Option<Run>, StoreError> {
    let mut tx = database.read().await?;
    let (tenant, id) = (run.tenant, run.campaign);
    let Some(campaign) = campaign(&mut tx, tenant, id).await? else {
        return Ok(None);
    };
    let Some(standing) = Standing::read(&mut tx, tenant, id).await? else {
        return Ok(None);
    };
    let (strategy_state, policy_states) = states(&mut tx, tenant, id).await?;
    Ok(Some(Run {
        campaign,
        waves: waves(&mut tx, tenant, id).await?,
        parallel: standing.parallel,
        trouble: standing.trouble,
        acts: standing.into_acts(),
        durations: histogram(&mut tx, tenant, id).await?,
        strategy_state,
        policy_states,
        ending: ending(&mut tx, tenant, id).await?,
    }))
}

async fn states(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreError> {
    const READ: &str = "read the states of plugins";
    let row = sqlx::query(
        "SELECT strategy_state, policy_states FROM campaign_states \
         WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let policies: &[u8] = row.try_get("policy_states").map_err(failed(READ))?;
    let policies = unpack_states(policies).map_err(|error| internal(READ)(Box::new(error)))?;
    Ok((
        row.try_get("strategy_state").map_err(failed(READ))?,
        policies,
    ))
}

async fn histogram(tx: &mut Tx, tenant: TenantId, id: CampaignId) -> Result<Durations, StoreError> {
    const READ: &str = "read durations";
    let rows = sqlx::query(
        "SELECT bucket, updates FROM campaign_durations WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY bucket",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let histogram: Result<Vec<_>, BadRow> = rows
        .iter()
        .map(|row| Ok((row.take("bucket")?, row.count("updates")?)))
        .collect();
    Ok(durations(&histogram.map_err(bad_row(READ))?))
}

async fn ending(tx: &mut Tx, tenant: TenantId, id: CampaignId) -> Result<Ending, StoreError> {
    const READ: &str = "read how far a campaign is from its end";
    let row = sqlx::query(
        "SELECT open_forward, to_look_at, open_return, returned, not_returned, impossible, pinned, under_way \
         FROM campaign_counters WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = || {
        Ok(Ending {
            open_forward: row.count("open_forward")?,
            to_look_at: row.count("to_look_at")?,
            open_return: row.count("open_return")?,
            returned: row.count("returned")?,
            not_returned: row.count("not_returned")?,
            impossible: row.count("impossible")?,
            pinned: row.count("pinned")?,
            under_way: row.count("under_way")?,
        })
    };
    read().map_err(bad_row(READ))
}
