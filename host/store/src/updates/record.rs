use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde_json::json;
use tidegate_core::{
    Named as _,
    device::AutoConfirm,
    feedback::Execution,
    id::{CampaignId, TenantId, UpdateId},
    log::LogSource,
    time::Timestamp,
    update::{Refusal, UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{
    DeviceEvent, DeviceReport, RecordError, RecordedReport, ReportedLines, StoreError,
};

use super::{
    attributes::{self, DeviceAttributes},
    auto_confirm,
    effects::{Effects, RecordOutcome},
    feedback_log::{FeedbackKey, FeedbackWriter, LogPosition, feedback},
    installed_report,
    log::NewLogLines,
    rollback_backlog,
    unit_of_work::{LoadedUpdate, UpdateUnitOfWork},
};
use crate::{
    audit::{self, AuditEntry},
    batcher::{Batch, BatchKind},
    database::{Database, LockWait, Tx},
    invalidation::notify_devices,
    tenant_counters::TenantCounters,
};

/// Records many reports in one transaction.
pub(crate) struct ReportBatch {
    pub(crate) database: Database,
    /// Maximum feedbacks kept of one update.
    pub(crate) max_feedback_per_update: u32,
}

impl Batch for ReportBatch {
    type Item = DeviceReport;
    type Output = Result<RecordedReport, RecordError>;
    const NAME: &'static str = "reports";
    const KIND: BatchKind = BatchKind::Write;

    async fn execute(
        &self,
        items: &[DeviceReport],
        lock_wait: LockWait,
    ) -> Result<Vec<Self::Output>, StoreError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<(usize, &DeviceReport)>> = BTreeMap::new();
        for (index, report) in items.iter().enumerate() {
            by_tenant
                .entry(report.tenant)
                .or_default()
                .push((index, report));
        }
        let mut tx = self.database.write_by_key(lock_wait).await?;
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
                self.max_feedback_per_update,
            )
            .await?;
            for (_, report) in &reports {
                let key = report.device;
                let device_changed =
                    work.changes_device(key) || matches!(report.event, DeviceEvent::Attributes(_));
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
            let effects = outcome.unwrap_or(Err(RecordError::NotFound))?;
            let (view, changes_device) = views.get(&report.device).ok_or(RecordError::NotFound)?;
            Ok(RecordedReport {
                changes_update: !effects.updates.is_empty(),
                campaigns: effects.updates.into_iter().flatten().collect(),
                is_new_installation: effects.is_new_installation,
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
    max_feedback_per_update: u32,
) -> Result<UpdateUnitOfWork, StoreError> {
    let devices = reports.iter().map(|(_, report)| report.device).collect();
    let updates = reports
        .iter()
        .filter_map(|(_, report)| match &report.event {
            DeviceEvent::Update(update, _) => Some(*update),
            DeviceEvent::Log(lines) => lines.update,
            DeviceEvent::Attributes(_)
            | DeviceEvent::Installed(_)
            | DeviceEvent::AutoConfirmActivated { .. }
            | DeviceEvent::AutoConfirmDeactivated => None,
        });
    let updates: BTreeSet<UpdateId> = updates.collect();
    let now = reports
        .iter()
        .map(|(_, report)| report.at)
        .max()
        .unwrap_or(Timestamp(0));
    let mut work = UpdateUnitOfWork::open(tx, tenant, &devices, &updates, now).await?;
    let mut history =
        FeedbackWriter::read(tx, tenant, &work, reports, max_feedback_per_update).await?;
    let mut attributes = DeviceAttributes::read(tx, tenant, reports).await?;
    let mut new_lines = NewLogLines::default();
    let mut cancellations = Vec::new();
    let mut retrieved = BTreeSet::new();
    let mut unexplained_versions = BTreeMap::new();
    for (index, report) in reports {
        let outcome = match &report.event {
            DeviceEvent::Update(id, event) => {
                let retrieval = record_retrieval(&mut work, report, *id, tenant_counters);
                let before = status(&work, *id);
                let refusal_before = refusal(&work, *id);
                let mut outcome = record_event(
                    &mut work,
                    &mut history,
                    &mut new_lines,
                    report,
                    *id,
                    event,
                    tenant_counters,
                );
                if let (Some(by), Ok(_)) = (&report.by, &outcome) {
                    let after = status(&work, *id);
                    let entry = cancellation(*id, event, before, after, &by.reason);
                    cancellations.push((&by.ctx, entry));
                }
                retrieved.extend(retrieval.is_some().then_some(*index));
                if let Ok(effects) = &mut outcome {
                    effects.updates.extend(retrieval);
                    effects.changes_refusal = refusal(&work, *id) != refusal_before;
                }
                outcome
            }
            DeviceEvent::Attributes(reported) => attributes::apply_report(
                &mut work,
                &mut attributes,
                report,
                reported,
                tenant_counters,
                &mut unexplained_versions,
            ),
            DeviceEvent::Log(lines) => new_lines.add(&mut work, report, lines),
            DeviceEvent::Installed(firmware) => {
                installed_report::record(tx, &mut work, report, firmware, tenant_counters).await
            }
            DeviceEvent::AutoConfirmActivated { initiator, remark } => {
                let auto_confirm = AutoConfirm {
                    initiator: initiator.clone(),
                    remark: remark.clone(),
                    activated_at: report.at,
                };
                auto_confirm::activate(tx, &mut work, report, &auto_confirm, tenant_counters).await
            }
            DeviceEvent::AutoConfirmDeactivated => {
                auto_confirm::deactivate(tx, &mut work, report).await
            }
        };
        outcomes[*index] = Some(match outcome {
            // The transaction has failed.
            Err(RecordError::Store(error)) => return Err(error),
            outcome => outcome,
        });
    }
    rollback_backlog::reopen(tx, tenant, &mut work, &unexplained_versions).await?;
    notify_other_servers(tx, tenant, &work, reports, outcomes, &retrieved).await?;
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

fn refusal(work: &UpdateUnitOfWork, id: UpdateId) -> Option<Refusal> {
    work.loaded(id)?.update.state.refusal
}

/// An actor's event of an update, for the audit trail.
fn cancellation(
    id: UpdateId,
    event: &UpdateEvent,
    before: Option<UpdateStatus>,
    after: Option<UpdateStatus>,
    reason: &str,
) -> AuditEntry {
    let action = match event {
        UpdateEvent::ForceCancel => "update.force_cancel",
        _ => "update.cancel",
    };
    let fields =
        |status: Option<UpdateStatus>| json!({ "status": status.map(|status| status.as_str()) });
    let is_changed = before != after;
    let (before, mut after) = (fields(before), fields(after));
    if is_changed {
        after["reason"] = reason.into();
    }
    AuditEntry::of_difference(action, id, before, after)
}

/// Records that the device read the update before the report. Returns the campaign of the update if that changed it.
#[expect(clippy::option_option, reason = "an update may belong to no campaign")]
fn record_retrieval(
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    id: UpdateId,
    tenant_counters: &mut TenantCounters,
) -> Option<Option<CampaignId>> {
    let read_at = report.read_at?;
    let update = work.loaded(id).map(|loaded| &loaded.update)?;
    let campaign = update.campaign.map(|(campaign, _)| campaign);
    if update.device != report.device {
        return None;
    }
    // No update refuses its retrieval.
    let changed = work.apply_event(id, &UpdateEvent::Retrieved, read_at, tenant_counters);
    changed.unwrap_or(false).then_some(campaign)
}

/// Records an event of an update. Its transition is computed once, before anything is changed.
fn record_event(
    work: &mut UpdateUnitOfWork,
    history: &mut FeedbackWriter,
    new_lines: &mut NewLogLines,
    report: &DeviceReport,
    id: UpdateId,
    event: &UpdateEvent,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let loaded = work
        .loaded(id)
        .filter(|loaded| loaded.update.device == report.device);
    let loaded = loaded.ok_or(RecordError::NotFound)?;
    let event = effective_event(work, loaded, event);
    let before = &loaded.update.state;
    let transition = before.clone().after(&event, report.at);
    let campaign = loaded.update.campaign.map(|(campaign, _)| campaign);
    let Some((feedback, is_cancel_answer)) = feedback(&event, before, report.at) else {
        let changed = work.apply_transition(id, &event, transition?, report.at, tenant_counters);
        return Ok(Effects::of_update(changed, campaign));
    };
    let cancel_request = if is_cancel_answer {
        loaded.cancel_requests
    } else {
        0
    };
    let key = FeedbackKey::of(id, cancel_request, &feedback);
    // An answer to a cancellation that was never requested is never a repetition.
    let answers_no_request = is_cancel_answer && cancel_request == 0;
    let is_known = !answers_no_request && history.has(&key);
    let is_confirmation = feedback.execution.is_confirmation();
    // A confirmation can be repeated after its opposite, a refusal after another retrieval, and the end of a fetch after
    // another one; they take effect again.
    let takes_effect_again =
        is_confirmation || before.ends_by_refusal(&feedback) || before.ends_fetch(&feedback);
    if is_known && !takes_effect_again {
        return Ok(Effects::default());
    }
    let after = match transition {
        Err(_) if is_known => return Ok(Effects::default()),
        after => after?,
    };
    // An owned value is closing feedback that was interpreted differently.
    let closes = feedback.execution == Execution::Closed
        || matches!(feedback, Cow::Owned(_))
        || !after.status.is_open();
    let changes_confirmation = is_confirmation && !after.differs_only_in_report(before);
    let stored = loaded.feedback_count;
    if stored >= history.max_per_update && !closes && !changes_confirmation {
        return Err(RecordError::FeedbackQuota(history.max_per_update));
    }
    let changed = work.apply_transition(id, &event, after, report.at, tenant_counters);
    if is_known {
        return Ok(Effects::of_update(changed, campaign));
    }
    if let Some(loaded) = work.loaded_mut(id) {
        loaded.feedback_count += 1;
    }
    let first_line = work.add_lines(id, feedback.messages.len());
    let position = LogPosition {
        seq: stored + 1,
        first_line: first_line.unwrap_or(0),
    };
    history.add(key, position, &feedback, report.at);
    if let Some(word) = feedback.log_summary() {
        let line = ReportedLines {
            update: Some(id),
            source: LogSource::Feedback,
            lines: vec![word],
        };
        new_lines.add(work, report, &line)?;
    }
    Ok(Effects::of_update(changed, campaign))
}

/// A denial of a device with auto-confirm is final. A success may arrive after the update ended by silence.
fn effective_event<'a>(
    work: &UpdateUnitOfWork,
    loaded: &LoadedUpdate,
    event: &'a UpdateEvent,
) -> Cow<'a, UpdateEvent> {
    let device = work.device(loaded.update.device);
    let auto_confirms = || device.is_some_and(|device| device.auto_confirms);
    let may_be_late = || {
        let failed = device.and_then(|device| device.failed_update);
        failed == Some(loaded.update.id)
    };
    match event {
        UpdateEvent::Feedback(feedback) if may_be_late() => {
            Cow::Owned(UpdateEvent::LateSuccess(feedback.clone()))
        }
        UpdateEvent::ConfirmationFeedback(answer)
            if answer.execution == Execution::Denied && auto_confirms() =>
        {
            Cow::Owned(UpdateEvent::Declined(answer.clone()))
        }
        event => Cow::Borrowed(event),
    }
}

/// Other servers may cache stale data; the server that received the reports does not.
async fn notify_other_servers(
    tx: &mut Tx,
    tenant: TenantId,
    work: &UpdateUnitOfWork,
    reports: &[(usize, &DeviceReport)],
    outcomes: &[Option<RecordOutcome>],
    retrieved: &BTreeSet<usize>,
) -> Result<(), StoreError> {
    let changed: BTreeSet<&str> = reports
        .iter()
        .filter(|(index, report)| {
            if retrieved.contains(index) {
                return true;
            }
            let Some(Ok(effects)) = &outcomes[*index] else {
                return false;
            };
            let changes_device = matches!(
                report.event,
                DeviceEvent::Attributes(_) | DeviceEvent::Installed(_)
            );
            changes_device || effects.changes_refusal || !effects.updates.is_empty()
        })
        .filter_map(|(_, report)| Some(work.device(report.device)?.device_id.as_str()))
        .collect();
    notify_devices(tx, tenant, changed).await
}
