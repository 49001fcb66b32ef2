use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde_json::json;
use tidegate_core::{
    feedback::{Execution, MAX_PER_UPDATE},
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    log::LogSource,
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{
    AttributesReport, LogReport, RecordError, RecordedFeedback, StoreError, UpdateReport,
};

use super::{
    attributes::{self, ReportedAttributes},
    feedback_log::{FeedbackKey, FeedbackLog, LogPosition, feedback},
    log::NewLogLines,
    unit_of_work::UpdateUnitOfWork,
};
use crate::{
    audit::{self, AuditEntry},
    batch_writer::Batch,
    database::{Database, Tx},
    invalidation::notify_devices,
    tenant_counters::TenantCounters,
};

/// A report of a device.
#[derive(Debug)]
pub(crate) enum DeviceReport {
    /// Feedback on an update, or another event of it.
    UpdateEvent(UpdateReport),
    Attributes(AttributesReport),
    Log(LogReport),
}

impl DeviceReport {
    fn tenant(&self) -> TenantId {
        match self {
            Self::UpdateEvent(report) => report.tenant,
            Self::Attributes(report) => report.tenant,
            Self::Log(report) => report.tenant,
        }
    }

    fn device(&self) -> DeviceKey {
        match self {
            Self::UpdateEvent(report) => report.device,
            Self::Attributes(report) => report.device,
            Self::Log(report) => report.device,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::UpdateEvent(report) => report.at,
            Self::Attributes(report) => report.at,
            Self::Log(report) => report.at,
        }
    }
}

/// Records many reports in one transaction.
pub(crate) struct ReportBatch {
    pub(crate) database: Database,
}

/// The result of one report: the campaigns of the updates that it changed, none for an update without a campaign.
pub(super) type RecordOutcome = Result<ChangedUpdates, RecordError>;
pub(super) type ChangedUpdates = Vec<Option<CampaignId>>;

impl Batch for ReportBatch {
    type Item = DeviceReport;
    type Output = Result<RecordedFeedback, RecordError>;

    async fn write(&self, items: &[DeviceReport]) -> Result<Vec<Self::Output>, StoreError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<(usize, &DeviceReport)>> = BTreeMap::new();
        for (index, report) in items.iter().enumerate() {
            by_tenant
                .entry(report.tenant())
                .or_default()
                .push((index, report));
        }
        let mut tx = self.database.write().await?;
        let mut tenant_counters = TenantCounters::default();
        let mut outcomes: Vec<Option<RecordOutcome>> = items.iter().map(|_| None).collect();
        let mut views = HashMap::new();
        for (tenant, reports) in by_tenant {
            let work = record(
                &mut tx,
                tenant,
                &reports,
                &mut outcomes,
                &mut tenant_counters,
            )
            .await?;
            for (_, report) in &reports {
                let key = report.device();
                let device_changed =
                    work.changes_device(key) || matches!(report, DeviceReport::Attributes(_));
                if let Some(view) = work.view(key) {
                    let (_, changes_device) = views.entry(key).or_insert((view, false));
                    *changes_device |= device_changed;
                }
            }
            work.write(&mut tx, &mut tenant_counters).await?;
        }
        tenant_counters.write(&mut tx).await?;
        tx.commit().await?;
        let outputs = items.iter().zip(outcomes).map(|(report, outcome)| {
            let changed = outcome.unwrap_or(Err(RecordError::NotFound))?;
            let (view, changes_device) =
                views.get(&report.device()).ok_or(RecordError::NotFound)?;
            Ok(RecordedFeedback {
                changes_update: !changed.is_empty(),
                campaigns: changed.into_iter().flatten().collect(),
                view: view.clone(),
                changes_device: *changes_device,
            })
        });
        Ok(outputs.collect())
    }
}

/// Records the reports of one tenant in order. The caller writes the unit of work.
async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    reports: &[(usize, &DeviceReport)],
    outcomes: &mut [Option<RecordOutcome>],
    tenant_counters: &mut TenantCounters,
) -> Result<UpdateUnitOfWork, StoreError> {
    let devices = reports.iter().map(|(_, report)| report.device()).collect();
    let updates = reports.iter().filter_map(|(_, report)| match report {
        DeviceReport::UpdateEvent(report) => Some(report.update),
        DeviceReport::Log(report) => report.update,
        DeviceReport::Attributes(_) => None,
    });
    let updates: BTreeSet<UpdateId> = updates.collect();
    let now = reports
        .iter()
        .map(|(_, report)| report.at())
        .max()
        .unwrap_or(Timestamp(0));
    let mut work = UpdateUnitOfWork::open(tx, tenant, &devices, &updates, now).await?;
    let mut history = FeedbackLog::read(tx, tenant, &work, reports).await?;
    let mut attributes = ReportedAttributes::read(tx, tenant, reports).await?;
    let mut new_lines = NewLogLines::default();
    let mut cancellations = Vec::new();
    for (index, report) in reports {
        outcomes[*index] = Some(match report {
            DeviceReport::UpdateEvent(report) => {
                let before = status(&work, report.update);
                let outcome = record_event(
                    &mut work,
                    &mut history,
                    &mut new_lines,
                    report,
                    tenant_counters,
                );
                if let (Some(by), Ok(_)) = (&report.by, &outcome) {
                    let after = status(&work, report.update);
                    cancellations.push((by, cancellation(report, before, after)));
                }
                outcome
            }
            DeviceReport::Attributes(report) => {
                attributes::apply_report(&mut work, &mut attributes, report, tenant_counters)
            }
            DeviceReport::Log(report) => new_lines.add(&mut work, report),
        });
    }
    notify_other_servers(tx, tenant, &work, reports, outcomes).await?;
    history.write(tx, tenant).await?;
    attributes.write(tx, tenant).await?;
    new_lines.write(tx, tenant).await?;
    for (ctx, entry) in cancellations {
        audit::record(tx, ctx, entry).await?;
    }
    Ok(work)
}

fn status(work: &UpdateUnitOfWork, id: UpdateId) -> Option<UpdateStatus> {
    work.loaded(id).map(|loaded| loaded.update.state.status)
}

/// An actor's event of an update, for the audit trail.
fn cancellation(
    report: &UpdateReport,
    before: Option<UpdateStatus>,
    after: Option<UpdateStatus>,
) -> AuditEntry {
    let action = match report.event {
        UpdateEvent::ForceCancel => "update.force_cancel",
        _ => "update.cancel",
    };
    let fields =
        |status: Option<UpdateStatus>| json!({ "status": status.map(UpdateStatus::as_str) });
    AuditEntry::of_difference(action, report.update, fields(before), fields(after))
}

fn record_event(
    work: &mut UpdateUnitOfWork,
    history: &mut FeedbackLog,
    new_lines: &mut NewLogLines,
    report: &UpdateReport,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let loaded = work
        .loaded(report.update)
        .filter(|loaded| loaded.update.device == report.device);
    let loaded = loaded.ok_or(RecordError::NotFound)?;
    let event = effective_event(work, report);
    let campaign = loaded.update.campaign.map(|(campaign, _)| campaign);
    let feedback = feedback(&event, &loaded.update.state, report.at);
    let Some((feedback, is_cancel_answer)) = feedback else {
        let changed = work.apply_event(report.update, &event, report.at, tenant_counters)?;
        return Ok(changed_update(changed, campaign));
    };
    let cancel_request = if is_cancel_answer {
        loaded.cancel_requests
    } else {
        0
    };
    let key = FeedbackKey::of(report.update, cancel_request, &feedback);
    // An answer to a cancellation that was never requested is never a repetition.
    let answers_no_request = is_cancel_answer && cancel_request == 0;
    let is_known = !answers_no_request && history.has(&key);
    let is_confirmation = feedback.execution.is_confirmation();
    // A confirmation can be repeated after its opposite, and takes effect again.
    if is_known && !is_confirmation {
        return Ok(ChangedUpdates::new());
    }
    // Apply the event to a copy first, so that a refused event changes nothing.
    let before = &loaded.update.state;
    let after = match before.clone().after(&event, report.at) {
        Err(_) if is_known => return Ok(ChangedUpdates::new()),
        after => after?,
    };
    // An owned value is closing feedback that was interpreted differently.
    let closes = feedback.execution == Execution::Closed
        || matches!(feedback, Cow::Owned(_))
        || !after.status.is_open();
    let changes_confirmation = is_confirmation && !after.differs_only_in_report(before);
    let stored = loaded.feedback_count;
    if stored >= MAX_PER_UPDATE && !closes && !changes_confirmation {
        return Err(RecordError::TooMany(MAX_PER_UPDATE as usize));
    }
    let changed = work.apply_event(report.update, &event, report.at, tenant_counters)?;
    if is_known {
        return Ok(changed_update(changed, campaign));
    }
    if let Some(loaded) = work.loaded_mut(report.update) {
        loaded.feedback_count += 1;
    }
    let first_line = work.add_lines(report.update, feedback.messages.len());
    let position = LogPosition {
        seq: stored + 1,
        first_line: first_line.unwrap_or(0),
    };
    history.add(key, position, &feedback, report.at);
    if let Some(word) = feedback.log_summary() {
        new_lines.add(work, &log_line_for(report, word))?;
    }
    Ok(changed_update(changed, campaign))
}

/// A denial of a device with auto-confirm is final.
fn effective_event<'a>(work: &UpdateUnitOfWork, report: &'a UpdateReport) -> Cow<'a, UpdateEvent> {
    let auto_confirms = || {
        let device = work.device(report.device);
        device.is_some_and(|device| device.auto_confirms)
    };
    match &report.event {
        UpdateEvent::ConfirmationFeedback(answer)
            if answer.execution == Execution::Denied && auto_confirms() =>
        {
            Cow::Owned(UpdateEvent::Declined(answer.clone()))
        }
        event => Cow::Borrowed(event),
    }
}

/// The log line of feedback without messages.
fn log_line_for(report: &UpdateReport, word: String) -> LogReport {
    LogReport {
        tenant: report.tenant,
        device: report.device,
        update: Some(report.update),
        source: LogSource::Feedback,
        lines: vec![word],
        at: report.at,
    }
}

pub(super) fn changed_update(changed: bool, campaign: Option<CampaignId>) -> ChangedUpdates {
    if changed {
        vec![campaign]
    } else {
        ChangedUpdates::new()
    }
}

/// Other servers may cache stale data; the server that received the reports does not.
async fn notify_other_servers(
    tx: &mut Tx,
    tenant: TenantId,
    work: &UpdateUnitOfWork,
    reports: &[(usize, &DeviceReport)],
    outcomes: &[Option<RecordOutcome>],
) -> Result<(), StoreError> {
    let changed: BTreeSet<&str> = reports
        .iter()
        .filter(|(index, report)| {
            let Some(Ok(changed)) = &outcomes[*index] else {
                return false;
            };
            !changed.is_empty() || matches!(report, DeviceReport::Attributes(_))
        })
        .filter_map(|(_, report)| Some(work.device(report.device())?.device_id.as_str()))
        .collect();
    notify_devices(tx, tenant, changed).await
}
