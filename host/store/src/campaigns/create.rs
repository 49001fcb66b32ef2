use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, FirmwareId, TenantId},
};
use tidegate_engine::ports::{NewCampaign, StoreError};

use super::json::{PluginJson, TargetsJson};
use crate::{
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    rows::{number, to_json},
    tallies::Tallies,
    terms::{TermsRow, soak_millis},
};

const CREATE: &str = "create campaign";

/// Stores a campaign as `created`, generation 0.
pub(super) async fn create(
    database: &Database,
    tenant: TenantId,
    campaign: NewCampaign,
) -> Result<CampaignId, StoreError> {
    let mut tx = database.write().await?;
    let spec = campaign.spec;
    hold_firmware(&mut tx, tenant, spec.firmware).await?;
    let (name, description) = (storable(&spec.name), storable(&spec.description));
    let terms = TermsRow::new(&spec.terms)?;
    let policies: Vec<PluginJson> = spec.policies.into_iter().map(Into::into).collect();
    let feed = spec
        .targets
        .feed
        .as_deref()
        .map(|feed| storable(feed).into_owned());
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO campaigns (tenant_id, name, description, firmware_id, targets, allow_beta, strategy, policies, \
         priority, max_concurrent_updates, timeout_ms, requires_approval, auto_rollback, failure_threshold_percent, \
         proof, created_by, created_at, feed, update_type, forced_at, on_denied, confirmation_ms, download_ms, \
         install_ms, maintenance_window, max_retries, retry_delay_ms, soak_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26, $27, $28) RETURNING id",
    )
    .bind(tenant.0)
    .bind(name.into_owned())
    .bind(description.into_owned())
    .bind(spec.firmware.0)
    .bind(to_json(&TargetsJson::from(spec.targets))?)
    .bind(i64::from(spec.allow_beta))
    .bind(to_json(&PluginJson::from(spec.strategy))?)
    .bind(to_json(&policies)?)
    .bind(spec.priority.as_str())
    .bind(spec.max_concurrent_updates.map(number))
    .bind(terms.timeout_ms)
    .bind(i64::from(spec.requires_approval))
    .bind(i64::from(spec.auto_rollback))
    .bind(i64::from(spec.failure_threshold_percent))
    .bind(spec.proof.as_str())
    .bind(storable(&campaign.created_by).into_owned())
    .bind(campaign.created_at.0)
    .bind(feed)
    .bind(terms.update_type)
    .bind(terms.forced_at)
    .bind(terms.on_denied)
    .bind(terms.confirmation_ms)
    .bind(terms.download_ms)
    .bind(terms.install_ms)
    .bind(terms.maintenance_window)
    .bind(terms.max_retries)
    .bind(terms.retry_delay_ms)
    .bind(soak_millis(spec.proof))
    .fetch_one(tx.conn())
    .await
    .map_err(failed(CREATE))?;
    for sql in [
        "INSERT INTO campaign_runs (tenant_id, campaign_id, status, generation, explain, acts, total_devices, \
         parallel, plugin_failures, plugin_misses, journal_seq, fence) \
         VALUES ($1, $2, 'created', 0, '[]', '[]', 0, 0, 0, 0, 0, 0)",
        "INSERT INTO campaign_counters (tenant_id, campaign_id, open_forward, to_look_at, open_return, returned, \
         not_returned, impossible, pinned, under_way) VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 0, 0)",
    ] {
        let insert = sqlx::query(sql).bind(tenant.0).bind(id);
        insert.execute(tx.conn()).await.map_err(failed(CREATE))?;
    }
    sqlx::query(
        "INSERT INTO campaign_states (tenant_id, campaign_id, strategy_state, policy_states) VALUES ($1, $2, $3, $3)",
    )
    .bind(tenant.0)
    .bind(id)
    .bind(Vec::<u8>::new())
    .execute(tx.conn())
    .await
    .map_err(failed(CREATE))?;
    let mut tallies = Tallies::default();
    tallies.campaign(tenant, None, CampaignStatus::Created);
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(CampaignId(id))
}

/// Whoever deletes the firmware waits until what needs it is there, and then must not; a deleted one is a conflict.
/// Shared, for others have their devices already and come here with what they admit: neither may wait for the other.
pub(crate) async fn hold_firmware(
    tx: &mut Tx,
    tenant: TenantId,
    id: FirmwareId,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT id FROM firmware WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_share()
    );
    let there = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a firmware"))?;
    match there {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict(format!(
            "the firmware {id} was deleted"
        ))),
    }
}
