use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{Any, AssertSqlSafe, Row as _, any::AnyArguments, query::Query};
use tidegate_core::{
    Named as _,
    campaign::{CampaignSpec, CampaignStatus, PluginUse},
    id::{CampaignId, FirmwareId, TenantId},
};
use tidegate_engine::{
    Ctx,
    ports::{NewCampaign, StoreError},
};

use super::json::{PluginJson, TargetsJson};
use crate::{
    audit::{self, AuditEntry, MAX_NAMED},
    database::{Database, Tx},
    dialect::{Dialect, storable},
    error::failed,
    rows::{to_i64, to_json},
    sql::SqlText,
    tenant_counters::TenantCounters,
    update_options::{UPDATE_OPTION_COLUMNS, UpdateOptionsRow},
};

const CREATE: &str = "create campaign";

/// Stores a campaign with the status `created` and generation 0.
pub(crate) async fn create(
    database: &Database,
    ctx: &Ctx,
    campaign: NewCampaign,
) -> Result<CampaignId, StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let spec = campaign.spec;
    lock_firmware(&mut tx, tenant, spec.firmware).await?;
    let after = audit_fields(&spec)?;
    let revisions = revisions(&spec);
    let row = bind_spec(insert_sql(tx.dialect()), tenant, spec)?
        .bind(storable(&campaign.created_by).into_owned())
        .bind(campaign.created_at.0)
        .fetch_one(tx.conn())
        .await
        .map_err(failed(CREATE))?;
    let id: i64 = row.try_get("id").map_err(failed(CREATE))?;
    pin_revisions(&mut tx, tenant, CampaignId(id), &revisions).await?;
    sqlx::query(
        "INSERT INTO campaign_runs (tenant_id, campaign_id, status, generation, explain, operator_acts, total_devices, \
         parallel, plugin_failures, plugin_timeouts, journal_seq, fence) \
         VALUES ($1, $2, $3, 0, '[]', '[]', 0, 0, 0, 0, 0, 0)",
    )
    .bind(tenant.0)
    .bind(id)
    .bind(CampaignStatus::Created.as_str())
    .execute(tx.conn())
    .await
    .map_err(failed(CREATE))?;
    sqlx::query(
        "INSERT INTO campaign_counters (tenant_id, campaign_id, open_updates, rollback_pending, open_rollbacks, rolled_back, \
         rollback_failed, rollback_impossible, pinned, already_rolling_back) VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 0, 0)",
    )
    .bind(tenant.0)
    .bind(id)
    .execute(tx.conn())
    .await
    .map_err(failed(CREATE))?;
    sqlx::query(
        "INSERT INTO campaign_states (tenant_id, campaign_id, strategy_state, policy_states) VALUES ($1, $2, $3, $3)",
    )
    .bind(tenant.0)
    .bind(id)
    .bind(Vec::<u8>::new())
    .execute(tx.conn())
    .await
    .map_err(failed(CREATE))?;
    let mut tenant_counters = TenantCounters::default();
    tenant_counters.count_campaign(tenant, None, CampaignStatus::Created);
    tenant_counters.write(&mut tx).await?;
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("campaign.create", id, Value::Null, after),
    )
    .await?;
    tx.commit().await?;
    Ok(CampaignId(id))
}

fn insert_sql(dialect: Dialect) -> String {
    let names: Vec<_> = SPEC_COLUMNS.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = SPEC_COLUMNS.iter().map(|(_, value)| *value).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    let option_names: Vec<_> = UPDATE_OPTION_COLUMNS
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let option_names = option_names.join(", ");
    let options = dialect.json_rows("o", OPTIONS_PARAMETER, UPDATE_OPTION_COLUMNS);
    format!(
        "INSERT INTO campaigns (tenant_id, {names}, created_by, created_at, {option_names}) \
         SELECT $1, {values}, $16, $17, {option_names} FROM {options} RETURNING id"
    )
}

/// The columns of a specification besides the update options, with their parameters. `$1` is the tenant, and the first
/// free parameter is `$16`.
pub(super) const SPEC_COLUMNS: [(&str, &str); 13] = [
    ("name", "$2"),
    ("description", "$3"),
    ("firmware_id", "$4"),
    ("targets", "$5"),
    ("allow_beta", "$6"),
    ("strategy", "$7"),
    ("policies", "$8"),
    ("priority", "$9"),
    ("max_concurrent_updates", "$10"),
    ("requires_approval", "$11"),
    ("auto_rollback", "$12"),
    ("failure_threshold_percent", "$13"),
    ("feed", "$15"),
];
/// The parameter with the update options: a JSON list of one object.
pub(super) const OPTIONS_PARAMETER: &str = "$14";

/// Binds the tenant and the [`SPEC_COLUMNS`].
pub(super) fn bind_spec(
    sql: String,
    tenant: TenantId,
    spec: CampaignSpec,
) -> Result<Query<'static, Any, AnyArguments>, StoreError> {
    let options = UpdateOptionsRow::new(&spec.options, spec.success_criteria)?;
    let policies: Vec<PluginJson> = spec.policies.into_iter().map(Into::into).collect();
    let feed = spec.targets.feed.as_deref();
    let feed = feed.map(|feed| storable(feed).into_owned());
    Ok(sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(storable(&spec.name).into_owned())
        .bind(storable(&spec.description).into_owned())
        .bind(spec.firmware.0)
        .bind(to_json(&TargetsJson::from(spec.targets))?)
        .bind(i64::from(spec.allow_beta))
        .bind(to_json(&PluginJson::from(spec.strategy))?)
        .bind(to_json(&policies)?)
        .bind(spec.priority.as_str())
        .bind(spec.max_concurrent_updates.map(to_i64))
        .bind(i64::from(spec.requires_approval))
        .bind(i64::from(spec.auto_rollback))
        .bind(i64::from(spec.failure_threshold_percent))
        .bind(to_json(&[options])?)
        .bind(feed))
}

/// The revisions that a campaign uses, as text.
pub(super) fn revisions(spec: &CampaignSpec) -> BTreeSet<String> {
    let used = spec.plugins();
    used.map(|used| used.revision.to_string()).collect()
}

/// Pins a campaign that has not started to other revisions than before. Those before are released, except those of plugin
/// calls in its journal, which failed to start it.
pub(super) async fn replace_pinned_revisions(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    revisions: &BTreeSet<String>,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM campaign_revisions WHERE tenant_id = $1 AND campaign_id = $2 AND digest NOT IN \
         (SELECT revision FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND revision IS NOT NULL)",
    )
    .bind(tenant.0)
    .bind(id.0)
    .execute(tx.conn())
    .await
    .map_err(failed("release the plugin revisions of a campaign"))?;
    add_pinned_revisions(tx, tenant, id, revisions).await
}

/// Pins a campaign to other revisions. Those before stay pinned, because its journal is replayed with them.
pub(super) async fn add_pinned_revisions(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    revisions: &BTreeSet<String>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE campaign_revisions SET is_current = 0 WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(id.0)
    .execute(tx.conn())
    .await
    .map_err(failed("leave the plugin revisions of a campaign"))?;
    pin_revisions(tx, tenant, id, revisions).await
}

/// Keeps revisions from being deleted as long as the campaign exists.
async fn pin_revisions(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    revisions: &BTreeSet<String>,
) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        let used = dialect.json_texts("$3");
        format!(
            "INSERT INTO campaign_revisions (tenant_id, campaign_id, digest) \
             SELECT r.tenant_id, CAST($2 AS BIGINT), r.digest FROM plugin_revisions r WHERE r.tenant_id = $1 \
             AND r.digest IN (SELECT value FROM {used}) \
             ON CONFLICT (tenant_id, campaign_id, digest) DO UPDATE SET is_current = 1"
        )
    });
    let pinned = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(id.0)
        .bind(to_json(revisions)?)
        .execute(tx.conn())
        .await
        .map_err(failed("pin the plugin revisions of a campaign"))?;
    if pinned.rows_affected() < revisions.len() as u64 {
        let message = "a plugin revision of the campaign was deleted meanwhile";
        return Err(StoreError::Unavailable(message.to_owned()));
    }
    Ok(())
}

/// For the audit trail. The configs of plugins are left out; the campaign keeps them.
pub(super) fn audit_fields(spec: &CampaignSpec) -> Result<Value, StoreError> {
    let options = UpdateOptionsRow::new(&spec.options, spec.success_criteria)?;
    let plugin = |used: &PluginUse| format!("{} {}", used.plugin, used.revision);
    let filter = spec.targets.filter.as_ref().map(|filter| &filter.text);
    Ok(json!({
        "name": spec.name, "firmware_id": spec.firmware.0,
        "targets": {
            "devices": spec.targets.devices.iter().take(MAX_NAMED).collect::<Vec<_>>(),
            "groups": spec.targets.groups, "filter": filter, "feed": spec.targets.feed,
        },
        "strategy": plugin(&spec.strategy),
        "policies": spec.policies.iter().map(plugin).collect::<Vec<_>>(),
        "priority": spec.priority.as_str(), "max_concurrent_updates": spec.max_concurrent_updates,
        "requires_approval": spec.requires_approval, "allow_beta": spec.allow_beta,
        "auto_rollback": spec.auto_rollback, "failure_threshold_percent": spec.failure_threshold_percent,
        "options": options,
    }))
}

/// Locks a firmware against deletion; a deleted one is a conflict. The lock is shared: transactions that already hold
/// device locks come here to offer updates, and must not wait for each other.
pub(crate) async fn lock_firmware(
    tx: &mut Tx,
    tenant: TenantId,
    id: FirmwareId,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT id FROM firmware WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_share()
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a firmware"))?;
    match row {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict(format!("firmware {id} was deleted"))),
    }
}
