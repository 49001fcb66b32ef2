use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use tidegate_core::{
    feedback::{Execution, MAX_PER_UPDATE},
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    log::Source,
    time::Timestamp,
    update::Event,
};
use tidegate_engine::ports::{
    AttributesReport, LogReport, RecordError, Recorded, Report, StoreError,
};

use super::{
    attributes::{self, Attributes},
    kept::{History, Key, Place, feedback},
    ledger::Ledger,
    log::NewLines,
};
use crate::{
    changes::announce,
    database::{Database, Tx},
    gather::Batch,
    tallies::Tallies,
};

/// What a device says.
#[derive(Debug)]
pub(crate) enum Said {
    /// Of an update.
    Event(Report),
    /// Of itself.
    Attributes(AttributesReport),
    /// In the log of an update.
    Log(LogReport),
}

impl Said {
    fn tenant(&self) -> TenantId {
        match self {
            Self::Event(report) => report.tenant,
            Self::Attributes(report) => report.tenant,
            Self::Log(report) => report.tenant,
        }
    }

    fn device(&self) -> DeviceKey {
        match self {
            Self::Event(report) => report.device,
            Self::Attributes(report) => report.device,
            Self::Log(report) => report.device,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Event(report) => report.at,
            Self::Attributes(report) => report.at,
            Self::Log(report) => report.at,
        }
    }
}

/// Records what many devices say in one transaction.
pub(crate) struct Reports {
    pub(crate) database: Database,
}

/// What came of one of them: the updates that moved, each by its campaign.
pub(super) type Outcome = Result<Moved, RecordError>;
pub(super) type Moved = Vec<Option<CampaignId>>;

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
            for (_, said) in &said {
                let key = said.device();
                let is_other = ledger.changes_device(key) || matches!(said, Said::Attributes(_));
                if let Some(view) = ledger.view(key) {
                    let (_, changes_device) = views.entry(key).or_insert((view, false));
                    *changes_device |= is_other;
                }
            }
            ledger.write(&mut tx, &mut tallies).await?;
        }
        tallies.write(&mut tx).await?;
        tx.commit().await?;
        let answers = items.iter().zip(outcomes).map(|(said, outcome)| {
            let moved = outcome.unwrap_or(Err(RecordError::NotFound))?;
            let (view, changes_device) = views.get(&said.device()).ok_or(RecordError::NotFound)?;
            Ok(Recorded {
                moved: !moved.is_empty(),
                campaigns: moved.into_iter().flatten().collect(),
                view: view.clone(),
                changes_device: *changes_device,
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
        Said::Log(report) => report.update,
        Said::Attributes(_) => None,
    });
    let updates: BTreeSet<UpdateId> = updates.collect();
    let now = said
        .iter()
        .map(|(_, said)| said.at())
        .max()
        .unwrap_or(Timestamp(0));
    let mut ledger = Ledger::open(tx, tenant, &devices, &updates, now).await?;
    let mut history = History::read(tx, tenant, &ledger, said).await?;
    let mut known = Attributes::read(tx, tenant, said).await?;
    let mut new_lines = NewLines::default();
    for (index, said) in said {
        outcomes[*index] = Some(match said {
            Said::Event(report) => {
                event(&mut ledger, &mut history, &mut new_lines, report, tallies)
            }
            Said::Attributes(report) => {
                attributes::report(&mut ledger, &mut known, report, tallies)
            }
            Said::Log(report) => new_lines.add(&mut ledger, report),
        });
    }
    tell_other_hosts(tx, tenant, &ledger, said, outcomes).await?;
    history.write(tx, tenant).await?;
    known.write(tx, tenant).await?;
    new_lines.write(tx, tenant).await?;
    Ok(ledger)
}

fn event(
    ledger: &mut Ledger,
    history: &mut History,
    new_lines: &mut NewLines,
    report: &Report,
    tallies: &mut Tallies,
) -> Outcome {
    let entry = ledger
        .entry(report.update)
        .filter(|entry| entry.update.device == report.device);
    let entry = entry.ok_or(RecordError::NotFound)?;
    let happened = meant(ledger, report);
    let campaign = entry.update.campaign.map(|(campaign, _)| campaign);
    let said = feedback(&happened, &entry.update.progress, report.at);
    let Some((feedback, on_call_back)) = said else {
        let moved = ledger.step(report.update, &happened, report.at, tallies)?;
        return Ok(of_one(moved, campaign));
    };
    let call_back = if on_call_back { entry.call_backs } else { 0 };
    let key = Key::of(report.update, call_back, &feedback);
    // Whoever answers a call back that was never sent says nothing twice.
    let is_answer_to_none = on_call_back && call_back == 0;
    let is_known = !is_answer_to_none && history.has(&key);
    let is_answer = feedback.execution.is_answer();
    // An answer may be given again in the same words after the other one was given, and counts again.
    if is_known && !is_answer {
        return Ok(Moved::new());
    }
    // Asked of a copy first: what is refused leaves no trace.
    let before = &entry.update.progress;
    let after = match before.clone().after(&happened, report.at) {
        Err(_) if is_known => return Ok(Moved::new()),
        after => after?,
    };
    // What was meant otherwise was said to close it, too.
    let closes = feedback.execution == Execution::Closed
        || matches!(feedback, Cow::Owned(_))
        || !after.status.is_open();
    let decides = is_answer && !after.stands_as(before);
    let kept = entry.feedbacks;
    if kept >= MAX_PER_UPDATE && !closes && !decides {
        return Err(RecordError::TooMany(MAX_PER_UPDATE as usize));
    }
    let moved = ledger.step(report.update, &happened, report.at, tallies)?;
    if is_known {
        return Ok(of_one(moved, campaign));
    }
    if let Some(entry) = ledger.entry_mut(report.update) {
        entry.feedbacks += 1;
    }
    let first_line = ledger.add_lines(report.update, feedback.messages.len());
    let place = Place {
        seq: kept + 1,
        first_line: first_line.unwrap_or(0),
    };
    history.add(key, place, &feedback, report.at);
    if let Some(word) = feedback.in_a_word() {
        new_lines.add(ledger, &in_the_log(report, word))?;
    }
    Ok(of_one(moved, campaign))
}

/// A "no" of a device that agrees to everything beforehand is the last word.
fn meant<'a>(ledger: &Ledger, report: &'a Report) -> Cow<'a, Event> {
    let agrees = || {
        let device = ledger.device(report.device);
        device.is_some_and(|device| device.auto_confirms)
    };
    match &report.event {
        Event::ConfirmationFeedback(answer)
            if answer.execution == Execution::Denied && agrees() =>
        {
            Cow::Owned(Event::Declined(answer.clone()))
        }
        event => Cow::Borrowed(event),
    }
}

/// What stands in the log for a feedback without words.
fn in_the_log(report: &Report, word: String) -> LogReport {
    LogReport {
        tenant: report.tenant,
        device: report.device,
        update: Some(report.update),
        source: Source::Feedback,
        lines: vec![word],
        at: report.at,
    }
}

/// The one update that may have moved.
pub(super) fn of_one(moved: bool, campaign: Option<CampaignId>) -> Moved {
    if moved { vec![campaign] } else { Moved::new() }
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
            let Some(Ok(moved)) = &outcomes[*index] else {
                return false;
            };
            !moved.is_empty() || matches!(said, Said::Attributes(_))
        })
        .filter_map(|(_, said)| Some(ledger.device(said.device())?.device_id.as_str()))
        .collect();
    announce(tx, tenant, changed).await
}
