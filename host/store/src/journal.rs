//! The journal: every plugin call with its input and output.

mod append;
mod remove;

pub(crate) use append::{JournalExtent, append};
pub(crate) use remove::remove;

#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, Digest, TenantId},
    plugin::PluginName,
    time::Timestamp,
};
use tidegate_engine::ports::{
    CallLimits, JournalEntry, Page, PageRequest, RecordedCall, StoreError,
};

use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, parse_value, row_error, to_i64, unknown_value},
    sql::SqlText,
};

const READ: &str = "read journal";
/// The columns that [`from_row`] reads.
const ENTRY: &str = "seq, kind, at, plugin, revision, input_digest, fuel, fuel_costs, duration_ns, outcome, explain, \
     applied, fuel_limit, memory_limit, answer_limit, log, peak_memory";

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
             ORDER BY seq LIMIT $4"
        )
    });
    let mut tx = database.read().await?;
    let (removed, last) = first_and_last(&mut tx, tenant, campaign).await?;
    let after = after.clamp(removed, last);
    let rows = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(campaign.0)
        // No number is left out.
        .bind(after.saturating_add(to_i64(page.offset)))
        .bind(i64::from(page.limit))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let items: Result<_, _> = rows.iter().map(from_row).collect();
    Ok(Page {
        items: items.map_err(row_error(READ))?,
        total: (last - after).unsigned_abs(),
    })
}

pub(crate) async fn last_removed_entry(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
) -> Result<i64, StoreError> {
    let mut tx = database.read_single().await?;
    let (removed, _) = first_and_last(&mut tx, tenant, campaign).await?;
    Ok(removed)
}

/// The `seq` of the entry before the first one that is left, and of the last one.
async fn first_and_last(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query(
        "SELECT journal_removed, journal_seq FROM campaign_runs WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let Some(row) = row else { return Ok((0, 0)) };
    let read = || Ok((row.take("journal_removed")?, row.take("journal_seq")?));
    read().map_err(row_error(READ))
}

pub(crate) async fn recorded_call(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
    seq: i64,
) -> Result<Option<RecordedCall>, StoreError> {
    let found = next_recorded_call(database, tenant, campaign, seq.saturating_sub(1)).await?;
    Ok(found.filter(|found| found.entry.seq == seq))
}

pub(crate) async fn next_recorded_call(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
    after: i64,
) -> Result<Option<RecordedCall>, StoreError> {
    static SQL: SqlText = SqlText::new(|_| {
        format!(
            "SELECT {ENTRY}, input, output, input_text, input_state, output_text, output_state, \
             (SELECT c.content FROM journal_contents c WHERE c.tenant_id = $1 AND c.campaign_id = $2 \
             AND c.digest = input_text) AS input_text_content, \
             (SELECT c.content FROM journal_contents c WHERE c.tenant_id = $1 AND c.campaign_id = $2 \
             AND c.digest = input_state) AS input_state_content, \
             (SELECT c.content FROM journal_contents c WHERE c.tenant_id = $1 AND c.campaign_id = $2 \
             AND c.digest = output_text) AS output_text_content, \
             (SELECT c.content FROM journal_contents c WHERE c.tenant_id = $1 AND c.campaign_id = $2 \
             AND c.digest = output_state) AS output_state_content \
             FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 ORDER BY seq LIMIT 1"
        )
    });
    let mut tx = database.read_single().await?;
    let row = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(after)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        let input = [
            content(&row, "input_text", "input_text_content")?,
            row.take("input")?,
            content(&row, "input_state", "input_state_content")?,
        ];
        let output = [
            content(&row, "output_text", "output_text_content")?,
            row.take("output")?,
            content(&row, "output_state", "output_state_content")?,
        ];
        Ok(RecordedCall {
            entry: from_row(&row)?,
            input: input.concat(),
            output: output.concat(),
        })
    };
    read().map(Some).map_err(row_error(READ))
}

/// The bytes of a content by the column of its digest; empty if that is null.
fn content<'r>(
    row: &'r AnyRow,
    digest: &'static str,
    content: &'static str,
) -> Result<&'r [u8], RowError> {
    let Some(text) = row.take::<Option<&str>>(digest)? else {
        return Ok(&[]);
    };
    let found: Option<&[u8]> = row.take(content)?;
    found.ok_or_else(|| unknown_value(digest, text))
}

/// The plugin of an entry; the server's own acts have an empty text.
fn plugin_name(row: &AnyRow) -> Result<Option<PluginName>, RowError> {
    let text: &str = row.take("plugin")?;
    let name = (!text.is_empty()).then(|| parse_value("plugin", text));
    name.transpose()
}

/// All of them, or none.
fn limits(row: &AnyRow) -> Result<Option<CallLimits>, RowError> {
    let fuel: Option<i64> = row.take("fuel_limit")?;
    if fuel.is_none() {
        return Ok(None);
    }
    Ok(Some(CallLimits {
        fuel: row.count("fuel_limit")?,
        fuel_costs: u32::try_from(row.count("fuel_costs")?).unwrap_or(u32::MAX),
        memory_bytes: row.count("memory_limit")?,
        answer_bytes: row.count("answer_limit")?,
    }))
}

fn from_row(row: &AnyRow) -> Result<JournalEntry, RowError> {
    let digest = |column| row.parse_optional::<Digest>(column);
    let peak_memory: Option<i64> = row.take("peak_memory")?;
    Ok(JournalEntry {
        seq: row.take("seq")?,
        kind: row.parse("kind")?,
        at: Timestamp(row.take("at")?),
        plugin: plugin_name(row)?,
        revision: digest("revision")?,
        input_digest: digest("input_digest")?,
        fuel: row.count("fuel")?,
        peak_memory: peak_memory.map(|_| row.count("peak_memory")).transpose()?,
        limits: limits(row)?,
        duration: Duration::from_nanos(row.count("duration_ns")?),
        outcome: row.take("outcome")?,
        explain: row.json("explain")?,
        log: row.json_optional("log")?.unwrap_or_default(),
        applied: row.flag("applied")?,
    })
}
