use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignSpec, RollbackCounts, Targets},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{
    CampaignDetail, CampaignFilter, CampaignSummary, Page, PageRequest, StoreError,
};

use super::{
    json::{
        ApprovalJson, AwaitingJson, HoldJson, PluginJson, RollbackJson, TargetsJson, json_list,
    },
    waves::{sum_by_campaign, waves},
};
use crate::{
    database::Tx,
    dialect::Dialect,
    error::failed,
    json_row::JsonRow as _,
    rows::{RowError, RowExt as _, row_error, to_i64},
    tenant_counters::{self, CounterKind},
    update_options::StoredOptions,
};

const READ: &str = "read campaign";

fn columns(dialect: Dialect) -> String {
    let options = StoredOptions::select(dialect, "c");
    format!(
        "c.id, c.tenant_id, c.name, c.description, c.firmware_id, c.targets, c.feed, c.allow_beta, c.strategy, \
         c.policies, c.priority, c.max_concurrent_updates, c.requires_approval, c.auto_rollback, \
         c.failure_threshold_percent, c.created_by, c.edited_by, c.editors, c.created_at, {options} AS options, \
         f.name AS firmware_name, f.version AS firmware_version, r.status, r.generation, r.hold, r.awaiting, r.approval, \
         r.rollback, r.explain, r.journal_bytes, r.total_devices, r.is_dynamic, r.joined_devices, k.awaiting_version, k.open_rollbacks, k.rolled_back, \
         k.rollback_failed, r.started_at, r.ended_at, r.last_tick_at, \
         CAST(CASE WHEN k.dirty_since IS NULL AND r.lease_until IS NULL THEN 0 ELSE 1 END AS BIGINT) AS decision_due"
    )
}

const TABLES: &str = "campaigns c \
    JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.id \
    JOIN campaign_counters k ON k.tenant_id = c.tenant_id AND k.campaign_id = c.id \
    JOIN firmware f ON f.tenant_id = c.tenant_id AND f.id = c.firmware_id";

pub(crate) async fn campaign(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<Option<Campaign>, StoreError> {
    let columns = columns(tx.dialect());
    let sql = format!("SELECT {columns} FROM {TABLES} WHERE c.tenant_id = $1 AND c.id = $2");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    row.as_ref()
        .map(from_row)
        .transpose()
        .map_err(row_error(READ))
}

/// The campaign with its waves. The transaction has to be a snapshot.
pub(crate) async fn detail(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<Option<CampaignDetail>, StoreError> {
    let Some(campaign) = campaign(tx, tenant, id).await? else {
        return Ok(None);
    };
    let waves = match campaign.started_at {
        Some(_) => waves(tx, tenant, id).await?,
        None => Vec::new(),
    };
    Ok(Some(CampaignDetail { campaign, waves }))
}

/// A page of campaigns, newest first.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: TenantId,
    filter: CampaignFilter,
    page: PageRequest,
) -> Result<Page<CampaignSummary>, StoreError> {
    let status = filter.status.map(|status| status.as_str());
    let which = if status.is_some() {
        "r.status = $2"
    } else {
        "$2 IS NULL"
    };
    let total = tenant_counters::total(tx, tenant, CounterKind::CampaignsByStatus, status).await?;
    let columns = columns(tx.dialect());
    let sql = format!(
        "SELECT {columns} FROM {TABLES} WHERE r.tenant_id = $1 AND {which} \
         ORDER BY c.id DESC LIMIT $3 OFFSET $4"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(status)
        .bind(i64::from(page.limit))
        .bind(to_i64(page.offset))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let campaigns: Result<Vec<_>, _> = rows.iter().map(from_row).collect();
    let campaigns = campaigns.map_err(row_error(READ))?;
    let ids: Vec<_> = campaigns.iter().map(|campaign| campaign.id).collect();
    let mut counts = sum_by_campaign(tx, tenant, &ids).await?;
    let summaries = campaigns.into_iter().map(|campaign| CampaignSummary {
        counts: counts.remove(&campaign.id),
        campaign,
    });
    Ok(Page {
        items: summaries.collect(),
        total,
    })
}

/// A page of the campaigns that have started: first those with an open update for the device, newest first.
pub(crate) async fn started(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    page: PageRequest,
) -> Result<Page<Campaign>, StoreError> {
    let total = sqlx::query_scalar(
        "SELECT COUNT(*) FROM campaign_runs WHERE tenant_id = $1 AND started_at IS NOT NULL",
    )
    .bind(tenant.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let columns = columns(tx.dialect());
    let sql = format!(
        "SELECT {columns} FROM {TABLES} \
         WHERE r.tenant_id = $1 AND r.started_at IS NOT NULL \
         ORDER BY CASE WHEN c.id IN (SELECT u.campaign_id FROM updates u \
             WHERE u.tenant_id = $1 AND u.device_key = $2 AND u.completed_at IS NULL) THEN 0 ELSE 1 END, c.id DESC \
         LIMIT $3 OFFSET $4"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(device.0)
        .bind(i64::from(page.limit))
        .bind(to_i64(page.offset))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let campaigns: Result<Vec<_>, _> = rows.iter().map(from_row).collect();
    Ok(Page {
        items: campaigns.map_err(row_error(READ))?,
        total: i64::unsigned_abs(total),
    })
}

fn from_row(row: &AnyRow) -> Result<Campaign, RowError> {
    Ok(Campaign {
        id: CampaignId(row.take("id")?),
        tenant: TenantId(row.take("tenant_id")?),
        spec: spec_of_row(row)?,
        firmware_name: row.take("firmware_name")?,
        firmware_version: row.take("firmware_version")?,
        status: row.parse("status")?,
        hold: row.json_optional::<HoldJson>("hold")?.map(Into::into),
        awaiting: row
            .json_optional::<AwaitingJson>("awaiting")?
            .map(Into::into),
        approval: row
            .json_optional::<ApprovalJson>("approval")?
            .map(Into::into),
        total_devices: row.count("total_devices")?,
        is_dynamic: row.flag("is_dynamic")?,
        joined_devices: row.count("joined_devices")?,
        awaiting_version: row.count("awaiting_version")?,
        rollback_counts: RollbackCounts {
            open: row.count("open_rollbacks")?,
            completed: row.count("rolled_back")?,
            failed: row.count("rollback_failed")?,
        },
        decision_due: row.flag("decision_due")?,
        created_at: Timestamp(row.take("created_at")?),
        created_by: row.take("created_by")?,
        edited_by: row.take("edited_by")?,
        editors: editors(row)?,
        started_at: row.take::<Option<i64>>("started_at")?.map(Timestamp),
        ended_at: row.take::<Option<i64>>("ended_at")?.map(Timestamp),
        last_call_at: row.take::<Option<i64>>("last_tick_at")?.map(Timestamp),
        rollback: row
            .json_optional::<RollbackJson>("rollback")?
            .map(TryInto::try_into)
            .transpose()?,
        explain: row.json("explain")?,
        journal_bytes: row.count("journal_bytes")?,
        generation: row.take("generation")?,
    })
}

fn editors(row: &AnyRow) -> Result<Vec<String>, RowError> {
    let mut editors: Vec<String> = row.json_optional("editors")?.unwrap_or_default();
    // A server before migration 35 stores only the last editor.
    if let Some(last) = row.take("edited_by")?
        && !editors.contains(&last)
    {
        editors.push(last);
    }
    Ok(editors)
}

fn spec_of_row(row: &AnyRow) -> Result<CampaignSpec, RowError> {
    let percent: i64 = row.take("failure_threshold_percent")?;
    let (options, success_criteria) = StoredOptions::read(row, "options")?.into_parts()?;
    Ok(CampaignSpec {
        name: row.take("name")?,
        description: row.take("description")?,
        firmware: FirmwareId(row.take("firmware_id")?),
        targets: Targets {
            feed: row.take("feed")?,
            ..row.json::<TargetsJson>("targets")?.into()
        },
        allow_beta: row.flag("allow_beta")?,
        strategy: row.json::<PluginJson>("strategy")?.try_into()?,
        policies: json_list::<PluginJson, _>(row, "policies")?,
        priority: row.parse("priority")?,
        max_concurrent_updates: row
            .take::<Option<i64>>("max_concurrent_updates")?
            .map(i64::unsigned_abs),
        options,
        requires_approval: row.flag("requires_approval")?,
        auto_rollback: row.flag("auto_rollback")?,
        failure_threshold_percent: u8::try_from(percent).map_err(|_| RowError::OutOfRange {
            column: "failure_threshold_percent",
            value: percent,
        })?,
        success_criteria,
    })
}
