use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    feedback::{Execution, Feedback, MAX_PER_UPDATE},
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::Event,
};
use tidegate_engine::ports::{AttributesReport, RecordError, Recorded, Report, StoreError};

use super::{
    attributes::{self, Attributes},
    ledger::Ledger,
};
use crate::{
    changes::announce,
    database::{Database, Tx},
    dialect::{Type, storable},
    error::failed,
    gather::Batch,
    rows::{Columns as _, bad_row, to_json},
    tallies::Tallies,
};

/// What a device says.
#[derive(Debug)]
pub(crate) enum Said {
    /// Of an update.
    Event(Report),
    /// Of itself.
    Attributes(AttributesReport),
}

impl Said {
    fn tenant(&self) -> TenantId {
        match self {
            Self::Event(report) => report.tenant,
            Self::Attributes(report) => report.tenant,
        }
    }

    fn device(&self) -> DeviceKey {
        match self {
            Self::Event(report) => report.device,
            Self::Attributes(report) => report.device,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Event(report) => report.at,
            Self::Attributes(report) => report.at,
        }
    }
}

/// Records what many devices say in one transaction.
pub(crate) struct Reports {
    pub(crate) database: Database,
}

/// What came of one of them: whether an update moved, and of which campaign.
type Outcome = Result<(bool, Option<CampaignId>), RecordError>;

impl Batch for Reports {
    type Item = Said;
    type Answer = Result<Recorded, RecordError>;

    async fn write(&self, items: &[Said]) -> Result<Vec<Self::Answer>, StoreError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<(usize, &Said)>> = BTreeMap::new();
        for (index, said) in items.iter().enumerate() {
            by_tenant
                .entry(said.tenant())
                .or_default()
                .push((index, said));
        }
        let mut tx = self.database.write().await?;
        let mut tallies = Tallies::default();
        let mut outcomes: Vec<Option<Outcome>> = items.iter().map(|_| None).collect();
        let mut views = HashMap::new();
        for (tenant, said) in by_tenant {
            let ledger = record(&mut tx, tenant, &said, &mut outcomes, &mut tallies).await?;
            let heard = said.iter().map(|(_, said)| said.device());
            views.extend(heard.filter_map(|key| Some((key, ledger.view(key)?))));
            ledger.write(&mut tx, &mut tallies).await?;
        }
        tallies.write(&mut tx).await?;
        tx.commit().await?;
        let answers = items.iter().zip(outcomes).map(|(said, outcome)| {
            let (moved, campaign) = outcome.unwrap_or(Err(RecordError::NotFound))?;
            let view = views.get(&said.device()).cloned();
            Ok(Recorded {
                moved,
                campaign,
                view: view.ok_or(RecordError::NotFound)?,
            })
        });
        Ok(answers.collect())
    }
}

/// Records what devices of one tenant say, in order; the ledger is still to be written.
async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    said: &[(usize, &Said)],
    outcomes: &mut [Option<Outcome>],
    tallies: &mut Tallies,
) -> Result<Ledger, StoreError> {
    let devices = said.iter().map(|(_, said)| said.device()).collect();
    let updates = said.iter().filter_map(|(_, said)| match said {
        Said::Event(report) => Some(report.update),
        Said::Attributes(_) => None,
    });
    let updates: BTreeSet<UpdateId> = updates.collect();
    let now = said
        .iter()
        .map(|(_, said)| said.at())
        .max()
        .unwrap_or(Timestamp(0));
    let mut ledger = Ledger::open(tx, tenant, &devices, &updates, now).await?;
    let mut history = History::read(tx, tenant, said).await?;
    let mut known = Attributes::read(tx, tenant, said).await?;
    for (index, said) in said {
        outcomes[*index] = Some(match said {
            Said::Event(report) => event(&mut ledger, &mut history, report, tallies),
            Said::Attributes(report) => {
                attributes::report(&mut ledger, &mut known, report, tallies)
            }
        });
    }
    tell_other_hosts(tx, tenant, &ledger, said, outcomes).await?;
    history.write(tx, tenant).await?;
    known.write(tx, tenant).await?;
    Ok(ledger)
}

fn event(
    ledger: &mut Ledger,
    history: &mut History,
    report: &Report,
    tallies: &mut Tallies,
) -> Outcome {
    let entry = ledger
        .entry(report.update)
        .filter(|entry| entry.update.device == report.device);
    let entry = entry.ok_or(RecordError::NotFound)?;
    let campaign = entry.update.campaign.map(|(campaign, _)| campaign);
    let Some((feedback, on_cancel)) = feedback(&report.event) else {
        let moved = ledger.step(report.update, &report.event, report.at, tallies)?;
        return Ok((moved, campaign));
    };
    let key = (report.update, on_cancel, digest(feedback));
    if history.said.contains(&key) {
        return Ok((false, campaign));
    }
    // Asked of a copy first: what is refused leaves no trace.
    let after = entry
        .update
        .progress
        .clone()
        .after(&report.event, report.at)?;
    let closes = feedback.execution == Execution::Closed || !after.status.is_open();
    let kept = entry.feedbacks;
    if kept >= MAX_PER_UPDATE && !closes {
        return Err(RecordError::TooMany(MAX_PER_UPDATE as usize));
    }
    let moved = ledger.step(report.update, &report.event, report.at, tallies)?;
    if let Some(entry) = ledger.entry_mut(report.update) {
        entry.feedbacks += 1;
    }
    history.add(key, kept + 1, feedback, report.at);
    Ok((moved, campaign))
}

fn feedback(event: &Event) -> Option<(&Feedback, bool)> {
    match event {
        Event::Feedback(feedback) => Some((feedback, false)),
        Event::CancelFeedback(feedback) => Some((feedback, true)),
        Event::Retrieved
        | Event::CancelRequested
        | Event::VersionReported { .. }
        | Event::DeadlinePassed => None,
    }
}

/// Half of the sha256 tells feedbacks apart well enough.
fn digest(feedback: &Feedback) -> String {
    let half = feedback.digest().0;
    half[..16]
        .iter()
        .fold(String::with_capacity(32), |text, byte| {
            text + &format!("{byte:02x}")
        })
}

/// The host that a device spoke to knows; the others remember what was.
async fn tell_other_hosts(
    tx: &mut Tx,
    tenant: TenantId,
    ledger: &Ledger,
    said: &[(usize, &Said)],
    outcomes: &[Option<Outcome>],
) -> Result<(), StoreError> {
    let changed: BTreeSet<&str> = said
        .iter()
        .filter(|(index, said)| {
            let moved = matches!(outcomes[*index], Some(Ok((true, _))));
            moved
                || (matches!(said, Said::Attributes(_)) && matches!(outcomes[*index], Some(Ok(_))))
        })
        .filter_map(|(_, said)| Some(ledger.device(said.device())?.device_id.as_str()))
        .collect();
    announce(tx, tenant, changed).await
}

/// What was said of updates before, and is said now.
struct History {
    said: HashSet<(UpdateId, bool, String)>,
    new: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    update_id: i32,
    seq: u32,
    on_cancel: i64,
    digest: String,
    at: i64,
    device_time: Option<i64>,
    execution: &'static str,
    finished: &'static str,
    progress_n: Option<u32>,
    progress_of: Option<u32>,
    code: Option<i32>,
    messages: String,
    cut: i64,
}

const LINE: [(&str, Type); 13] = [
    ("update_id", Type::Int),
    ("seq", Type::Int),
    ("on_cancel", Type::Int),
    ("digest", Type::Text),
    ("at", Type::Int),
    ("device_time", Type::Int),
    ("execution", Type::Text),
    ("finished", Type::Text),
    ("progress_n", Type::Int),
    ("progress_of", Type::Int),
    ("code", Type::Int),
    ("messages", Type::Text),
    ("cut", Type::Int),
];

#[derive(Serialize)]
struct Key {
    update_id: i32,
    on_cancel: i64,
    digest: String,
}

impl History {
    /// Which of these feedbacks are kept already.
    async fn read(
        tx: &mut Tx,
        tenant: TenantId,
        said: &[(usize, &Said)],
    ) -> Result<Self, StoreError> {
        const READ: &str = "read feedback";
        let keys: Vec<_> = said
            .iter()
            .filter_map(|(_, said)| {
                let Said::Event(report) = said else {
                    return None;
                };
                let (feedback, on_cancel) = feedback(&report.event)?;
                Some(Key {
                    update_id: report.update.0,
                    on_cancel: i64::from(on_cancel),
                    digest: digest(feedback),
                })
            })
            .collect();
        let mut history = Self {
            said: HashSet::new(),
            new: Vec::new(),
        };
        if keys.is_empty() {
            return Ok(history);
        }
        let columns = [
            ("update_id", Type::Int),
            ("on_cancel", Type::Int),
            ("digest", Type::Text),
        ];
        let wanted = tx.dialect().rows("k", "$2", &columns);
        let which = tx.dialect().among("f.update_id", "$3");
        let updates: Vec<_> = keys.iter().map(|key| key.update_id).collect();
        let sql = format!(
            "SELECT f.update_id, f.on_cancel, f.digest FROM {wanted} CROSS JOIN feedback f \
             WHERE +f.tenant_id = $1 AND f.update_id = k.update_id AND f.on_cancel = k.on_cancel \
             AND f.digest = k.digest AND {which}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(to_json(&keys)?)
            .bind(to_json(&updates)?)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        for row in &rows {
            let read = || {
                let update = UpdateId(row.take("update_id")?);
                Ok((update, row.flag("on_cancel")?, row.take("digest")?))
            };
            history.said.insert(read().map_err(bad_row(READ))?);
        }
        Ok(history)
    }

    fn add(&mut self, key: (UpdateId, bool, String), seq: u32, feedback: &Feedback, at: Timestamp) {
        let messages: Vec<_> = feedback
            .messages
            .iter()
            .map(|message| storable(message))
            .collect();
        self.new.push(Line {
            update_id: key.0.0,
            seq,
            on_cancel: i64::from(key.1),
            digest: key.2.clone(),
            at: at.0,
            device_time: feedback.device_time.map(|at| at.0),
            execution: feedback.execution.as_str(),
            finished: feedback.finished.as_str(),
            progress_n: feedback.progress.map(|(n, _)| n),
            progress_of: feedback.progress.map(|(_, of)| of),
            code: feedback.code,
            messages: serde_json::Value::from_iter(messages).to_string(),
            cut: i64::from(feedback.cut),
        });
        self.said.insert(key);
    }

    async fn write(self, tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
        if self.new.is_empty() {
            return Ok(());
        }
        let names = LINE.map(|(name, _)| name).join(", ");
        let from = tx.dialect().rows("n", "$2", &LINE);
        let sql =
            format!("INSERT INTO feedback (tenant_id, {names}) SELECT $1, {names} FROM {from}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(to_json(&self.new)?)
            .execute(tx.conn())
            .await
            .map_err(failed("write feedback"))?;
        Ok(())
    }
}
