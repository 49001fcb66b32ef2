//! Every decision with its observation.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row as _, any::AnyRow};
use tidegate_core::{
    id::{CampaignId, Digest, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{
    Entry, EntryKind, Journal, NewEntry, Page, PageRequest, Recording, StoreError,
};

use crate::{
    SqlStore,
    database::Tx,
    dialect::storable,
    error::failed,
    rows::{BadRow, Columns as _, bad_row, number, to_json},
};

const READ: &str = "read journal";

#[async_trait]
impl Journal for SqlStore {
    async fn journal(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
        page: PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        let mut tx = self.database.read().await?;
        let total: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(after)
        .fetch_one(tx.conn())
        .await
        .map_err(failed("count journal entries"))?;
        let rows = sqlx::query(
            "SELECT seq, kind, at, plugin, revision, question_digest, fuel, duration_ns, outcome, explain, applied \
             FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 ORDER BY seq LIMIT $4 OFFSET $5",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(after)
        .bind(i64::from(page.limit))
        .bind(number(page.offset))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
        let items: Result<_, _> = rows.iter().map(of_row).collect();
        Ok(Page {
            items: items.map_err(bad_row(READ))?,
            total: total.unsigned_abs(),
        })
    }

    async fn recording(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        seq: i64,
    ) -> Result<Option<Recording>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, kind, at, plugin, revision, question_digest, fuel, duration_ns, outcome, explain, applied, \
             question, answer FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq = $3",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(seq)
        .fetch_optional(self.database.once().await?.conn())
        .await
        .map_err(failed(READ))?;
        let Some(row) = row else { return Ok(None) };
        let read = || {
            Ok(Recording {
                entry: of_row(&row)?,
                question: row.try_get("question")?,
                answer: row.try_get("answer")?,
            })
        };
        read().map(Some).map_err(bad_row(READ))
    }
}

/// Appends entries after the campaign's last one, which the caller has locked.
pub(crate) async fn append(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    last: i64,
    entries: &[NewEntry],
) -> Result<(), StoreError> {
    for (seq, entry) in (last + 1..).zip(entries) {
        sqlx::query(
            "INSERT INTO journal (tenant_id, campaign_id, seq, kind, at, plugin, revision, question_digest, fuel, \
             duration_ns, outcome, explain, applied, question, answer) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(tenant.0)
        .bind(campaign.0)
        .bind(seq)
        .bind(entry.kind.as_str())
        .bind(entry.at.0)
        .bind(storable(&entry.plugin).into_owned())
        .bind(entry.revision.map(|digest| digest.to_string()))
        .bind(entry.question_digest.map(|digest| digest.to_string()))
        .bind(number(entry.fuel))
        .bind(i64::try_from(entry.duration.as_nanos()).unwrap_or(i64::MAX))
        .bind(storable(&entry.outcome).into_owned())
        .bind(to_json(&entry.explain)?)
        .bind(i64::from(entry.applied))
        .bind(entry.question.clone())
        .bind(entry.answer.clone())
        .execute(tx.conn())
        .await
        .map_err(failed("write journal"))?;
    }
    Ok(())
}

fn of_row(row: &AnyRow) -> Result<Entry, BadRow> {
    let digest = |column| row.word_or_none(column, |text| text.parse::<Digest>().ok());
    Ok(Entry {
        seq: row.take("seq")?,
        kind: row.word("kind", EntryKind::parse)?,
        at: Timestamp(row.take("at")?),
        plugin: row.take("plugin")?,
        revision: digest("revision")?,
        question_digest: digest("question_digest")?,
        fuel: row.count("fuel")?,
        duration: Duration::from_nanos(row.count("duration_ns")?),
        outcome: row.take("outcome")?,
        explain: row.json("explain")?,
        applied: row.flag("applied")?,
    })
}
