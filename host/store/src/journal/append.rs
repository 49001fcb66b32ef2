use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    id::{CampaignId, Digest, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{NewJournalEntry, Record, StoreError};

use crate::{
    database::Tx,
    dialect::storable,
    error::failed,
    rows::{RowError, RowExt as _, to_i64, to_json},
};

/// Larger parts of a record are contents, which are stored once. A content is a row of its own, and most records are
/// smaller and never repeated.
const MAX_INLINE_BYTES: usize = 2 << 10;
/// How much of a row is counted besides its inputs, outputs, explanations and log lines, or its content.
pub(super) const ROW_BYTES: u64 = 256;

const WRITE: &str = "write journal";

/// What a campaign's row has of its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalExtent {
    /// The `seq` of the last entry.
    pub(crate) last: i64,
    /// The entries up to this `seq` were removed.
    pub(crate) removed: i64,
    /// The time of the oldest entry that is left.
    pub(crate) since: Option<Timestamp>,
    /// The size of the entries that are left, and of their contents.
    pub(crate) bytes: u64,
}

impl JournalExtent {
    pub(crate) fn from_row(row: &AnyRow) -> Result<Self, RowError> {
        Ok(Self {
            last: row.take("journal_seq")?,
            removed: row.take("journal_removed")?,
            since: row.take::<Option<i64>>("journal_since")?.map(Timestamp),
            bytes: row.count("journal_bytes")?,
        })
    }
}

/// Appends entries after the campaign's last one. The caller has locked the campaign, and writes the extent.
pub(crate) async fn append(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    extent: &mut JournalExtent,
    entries: &[NewJournalEntry],
) -> Result<(), StoreError> {
    for entry in entries {
        extent.last += 1;
        extent.since.get_or_insert(entry.at);
        let input = store_contents(tx, tenant, campaign, extent, &entry.input).await?;
        let output = store_contents(tx, tenant, campaign, extent, &entry.output).await?;
        let (explain, log) = (to_json(&entry.explain)?, log_json(&entry.log)?);
        let texts = explain.len() + log.as_ref().map_or(0, String::len);
        let bytes = input.inline.len() + output.inline.len() + texts;
        extent.bytes += ROW_BYTES + bytes as u64;
        sqlx::query(
            "INSERT INTO journal (tenant_id, campaign_id, seq, kind, at, plugin, revision, input_digest, fuel, \
             duration_ns, outcome, explain, applied, input, output, fuel_costs, fuel_limit, memory_limit, \
             answer_limit, log, input_text, input_state, output_text, output_state, peak_memory) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
             $21, $22, $23, $24, $25)",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(extent.last)
        .bind(entry.kind.as_str())
        .bind(entry.at.0)
        .bind(entry.plugin.as_ref().map(ToString::to_string).unwrap_or_default())
        .bind(entry.revision.map(|digest| digest.to_string()))
        .bind(entry.input_digest.map(|digest| digest.to_string()))
        .bind(to_i64(entry.fuel))
        .bind(i64::try_from(entry.duration.as_nanos()).unwrap_or(i64::MAX))
        .bind(storable(&entry.outcome).into_owned())
        .bind(explain)
        .bind(i64::from(entry.applied))
        .bind(input.inline)
        .bind(output.inline)
        .bind(i64::from(entry.limits.map_or(0, |limits| limits.fuel_costs)))
        .bind(entry.limits.map(|limits| to_i64(limits.fuel)))
        .bind(entry.limits.map(|limits| to_i64(limits.memory_bytes)))
        .bind(entry.limits.map(|limits| to_i64(limits.answer_bytes)))
        .bind(log)
        .bind(input.text)
        .bind(input.state)
        .bind(output.text)
        .bind(output.state)
        .bind(entry.peak_memory.map(to_i64))
        .execute(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    }
    Ok(())
}

/// A record as an entry has it: the digests of the parts that are contents, and the bytes of the other ones.
struct StoredRecord {
    text: Option<String>,
    inline: Vec<u8>,
    state: Option<String>,
}

async fn store_contents(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    extent: &mut JournalExtent,
    record: &Record,
) -> Result<StoredRecord, StoreError> {
    let mut inline = Vec::new();
    let mut digests = [None, None];
    let (text, state) = record.parts();
    for (part, digest) in [text, state].into_iter().zip(&mut digests) {
        if part.len() <= MAX_INLINE_BYTES {
            inline.extend_from_slice(part);
        } else {
            *digest = Some(store_content(tx, tenant, campaign, extent, part).await?);
        }
    }
    let [text, state] = digests;
    Ok(StoredRecord {
        text,
        inline,
        state,
    })
}

/// Stores a content of the last entry, unless the campaign has it. Returns its digest.
async fn store_content(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    extent: &mut JournalExtent,
    content: &[u8],
) -> Result<String, StoreError> {
    let digest = Digest::of(content).to_string();
    let known = sqlx::query(
        "UPDATE journal_contents SET last_seq = $4 WHERE tenant_id = $1 AND campaign_id = $2 AND digest = $3",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(digest.clone())
    .bind(extent.last)
    .execute(tx.conn())
    .await
    .map_err(failed(WRITE))?;
    if known.rows_affected() == 0 {
        extent.bytes += ROW_BYTES + content.len() as u64;
        sqlx::query(
            "INSERT INTO journal_contents (tenant_id, campaign_id, digest, last_seq, content) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(digest.clone())
        .bind(extent.last)
        .bind(content.to_vec())
        .execute(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    }
    Ok(digest)
}

/// Null without lines, which most calls have none of.
fn log_json(log: &[String]) -> Result<Option<String>, StoreError> {
    (!log.is_empty()).then(|| to_json(&log)).transpose()
}
