//! The journal: every plugin call with its input and output.

use std::time::Duration;

use sqlx::{
    Any, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use tidegate_core::{
    Named as _,
    id::{CampaignId, Digest, TenantId},
    plugin::PluginName,
    time::Timestamp,
};
use tidegate_engine::ports::{
    CallLimits, JournalEntry, NewJournalEntry, Page, PageRequest, RecordedCall, StoreError,
};

use crate::{
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    rows::{RowError, RowExt as _, parse_value, row_error, to_i64, to_json},
    sql::SqlText,
};

const READ: &str = "read journal";
/// The columns that [`from_row`] reads.
const ENTRY: &str = "seq, kind, at, plugin, revision, input_digest, fuel, fuel_costs, duration_ns, outcome, explain, \
     applied, fuel_limit, memory_limit, answer_limit, log";

pub(crate) async fn journal(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
    after: i64,
    page: PageRequest,
) -> Result<Page<JournalEntry>, StoreError> {
    static SQL: SqlText = SqlText::new(|_| {
        format!(
            "SELECT {ENTRY} FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 \
             ORDER BY seq LIMIT $4 OFFSET $5"
        )
    });
    let mut tx = database.read().await?;
    let total: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(after)
    .fetch_one(tx.conn())
    .await
    .map_err(failed("count journal entries"))?;
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(after)
        .bind(i64::from(page.limit))
        .bind(to_i64(page.offset))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let items: Result<_, _> = rows.iter().map(from_row).collect();
    Ok(Page {
        items: items.map_err(row_error(READ))?,
        total: total.unsigned_abs(),
    })
}

pub(crate) async fn recorded_call(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
    seq: i64,
) -> Result<Option<RecordedCall>, StoreError> {
    static SQL: SqlText = SqlText::new(|_| {
        format!(
            "SELECT {ENTRY}, input, output FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq = $3"
        )
    });
    let query = sqlx::query(SQL.of(database.dialect()));
    let query = query.bind(tenant.0).bind(campaign.0).bind(seq);
    read_call(database, query).await
}

pub(crate) async fn next_recorded_call(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
    after: i64,
) -> Result<Option<RecordedCall>, StoreError> {
    static SQL: SqlText = SqlText::new(|_| {
        format!(
            "SELECT {ENTRY}, input, output FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 \
             ORDER BY seq LIMIT 1"
        )
    });
    let query = sqlx::query(SQL.of(database.dialect()));
    let query = query.bind(tenant.0).bind(campaign.0).bind(after);
    read_call(database, query).await
}

async fn read_call(
    database: &Database,
    query: Query<'_, Any, AnyArguments>,
) -> Result<Option<RecordedCall>, StoreError> {
    let row = query
        .fetch_optional(database.read_single().await?.conn())
        .await
        .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        Ok(RecordedCall {
            entry: from_row(&row)?,
            input: row.try_get("input")?,
            output: row.try_get("output")?,
        })
    };
    read().map(Some).map_err(row_error(READ))
}

/// Appends entries after the campaign's last one. The caller has locked the campaign.
pub(crate) async fn append(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    last: i64,
    entries: &[NewJournalEntry],
) -> Result<(), StoreError> {
    for (seq, entry) in (last + 1..).zip(entries) {
        sqlx::query(
            "INSERT INTO journal (tenant_id, campaign_id, seq, kind, at, plugin, revision, input_digest, fuel, \
             duration_ns, outcome, explain, applied, input, output, fuel_costs, fuel_limit, memory_limit, \
             answer_limit, log) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(seq)
        .bind(entry.kind.as_str())
        .bind(entry.at.0)
        .bind(entry.plugin.as_ref().map(ToString::to_string).unwrap_or_default())
        .bind(entry.revision.map(|digest| digest.to_string()))
        .bind(entry.input_digest.map(|digest| digest.to_string()))
        .bind(to_i64(entry.fuel))
        .bind(i64::try_from(entry.duration.as_nanos()).unwrap_or(i64::MAX))
        .bind(storable(&entry.outcome).into_owned())
        .bind(to_json(&entry.explain)?)
        .bind(i64::from(entry.applied))
        .bind(entry.input.clone())
        .bind(entry.output.clone())
        .bind(i64::from(entry.fuel_costs))
        .bind(entry.limits.map(|limits| to_i64(limits.fuel)))
        .bind(entry.limits.map(|limits| to_i64(limits.memory_bytes)))
        .bind(entry.limits.map(|limits| to_i64(limits.answer_bytes)))
        .bind(log_json(&entry.log)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write journal"))?;
    }
    Ok(())
}

/// The plugin of an entry; the server's own acts have an empty text.
fn plugin_name(row: &AnyRow) -> Result<Option<PluginName>, RowError> {
    let text: &str = row.take("plugin")?;
    let name = (!text.is_empty()).then(|| parse_value("plugin", text));
    name.transpose()
}

/// Null without lines, which most calls have none of.
fn log_json(log: &[String]) -> Result<Option<String>, StoreError> {
    (!log.is_empty()).then(|| to_json(&log)).transpose()
}

/// All three, or none.
fn limits(row: &AnyRow) -> Result<Option<CallLimits>, RowError> {
    let fuel: Option<i64> = row.take("fuel_limit")?;
    if fuel.is_none() {
        return Ok(None);
    }
    Ok(Some(CallLimits {
        fuel: row.count("fuel_limit")?,
        memory_bytes: row.count("memory_limit")?,
        answer_bytes: row.count("answer_limit")?,
    }))
}

fn from_row(row: &AnyRow) -> Result<JournalEntry, RowError> {
    let digest = |column| row.parse_optional::<Digest>(column);
    Ok(JournalEntry {
        seq: row.take("seq")?,
        kind: row.parse("kind")?,
        at: Timestamp(row.take("at")?),
        plugin: plugin_name(row)?,
        revision: digest("revision")?,
        input_digest: digest("input_digest")?,
        fuel: row.count("fuel")?,
        fuel_costs: u32::try_from(row.count("fuel_costs")?).unwrap_or(u32::MAX),
        limits: limits(row)?,
        duration: Duration::from_nanos(row.count("duration_ns")?),
        outcome: row.take("outcome")?,
        explain: row.json("explain")?,
        log: row.json_optional("log")?.unwrap_or_default(),
        applied: row.flag("applied")?,
    })
}
