use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{
    device::Device,
    id::{ApprovalId, CampaignId, DeviceKey, TenantId},
    log::{LogSource, lines},
    time::Timestamp,
    update::Update,
};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::{
    Caches, Ctx, Error, Ports, Result, Settings, Signals, chain,
    ports::{
        CancelledUpdates, Clock, DeviceEvent, DeviceReport, Offer, OfferActor, OfferOverrides,
        OfferResult, RecordError, RecordedReport, ReportedLines, RunRef, Store, StoreError,
    },
    retrieval_buffer::RetrievalBuffer,
    unattended::run_to_end,
};

/// Maximum updates of an approval to which its decision is applied in one transaction.
const APPROVAL_BATCH: u32 = 1000;

/// Writes reports and single updates of devices, then publishes them: it updates the read model and wakes campaigns.
///
/// Each write completes even if the client disconnects: the store may have written it by then, and the read model has to
/// be updated. Cheap to clone.
#[derive(Clone)]
pub struct UpdateWriter {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    caches: Arc<Caches>,
    signals: Arc<Signals>,
    /// One permit for each report that may wait for the store.
    permits: Arc<Semaphore>,
}

impl UpdateWriter {
    pub(crate) fn new(
        ports: &Ports,
        caches: Arc<Caches>,
        signals: Arc<Signals>,
        settings: &Settings,
    ) -> Self {
        let permits = settings.waiting_reports.min(Semaphore::MAX_PERMITS);
        Self {
            store: Arc::clone(&ports.store),
            clock: Arc::clone(&ports.clock),
            caches,
            signals,
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn retrievals(&self) -> &RetrievalBuffer {
        &self.caches.retrievals
    }

    /// True while so many reports wait for the store that no other is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Records a report of the device of this id, with the retrieval of the update if that is not recorded yet. A caller
    /// that stops waiting does not stop the recording.
    pub(crate) async fn report(
        &self,
        device_id: &str,
        mut report: DeviceReport,
    ) -> std::result::Result<RecordedReport, RecordError> {
        // A disconnected client leaves a task behind. The permit limits these tasks while the store does not answer.
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let why = "too many reports wait for the database";
            StoreError::Unavailable(why.to_owned())
        })?;
        let tenant = report.tenant;
        if let DeviceEvent::Update(update, _) = &report.event {
            let retrieval = self.retrievals().take(tenant, *update);
            report.read_at = retrieval.map(|retrieval| retrieval.at);
        }
        let (writer, id) = (self.clone(), device_id.to_owned());
        let recording = async move {
            let recorded = writer.record_and_publish(&id, report).await;
            drop(permit);
            recorded
        };
        run_to_end(recording).await.unwrap_or_else(|panicked| {
            self.caches.invalidate_device(tenant, device_id);
            let context = "record event";
            let source = Box::new(panicked);
            Err(StoreError::Internal { context, source }.into())
        })
    }

    async fn record_and_publish(
        &self,
        device_id: &str,
        report: DeviceReport,
    ) -> std::result::Result<RecordedReport, RecordError> {
        let tenant = report.tenant;
        let read_model = &self.caches.read_model;
        let stamp = read_model.stamp(tenant, device_id);
        let recorded = self.store.report(report).await;
        match &recorded {
            Ok(recorded) => {
                let (view, changes_device) = (recorded.view.clone(), recorded.changes_device);
                read_model.insert_changed(stamp, view, changes_device);
                self.wake(tenant, recorded.campaigns.iter().copied());
            }
            // After a store error the result is unknown.
            Err(_) => self.caches.invalidate_device(tenant, device_id),
        }
        recorded
    }

    /// Creates updates of devices in one transaction; results by device id.
    pub(crate) async fn create(
        &self,
        by: &OfferActor,
        devices: Vec<(String, DeviceKey)>,
        offer: &Offer,
        force: bool,
    ) -> Result<BTreeMap<String, OfferResult>> {
        if devices.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (writer, by, offer) = (self.clone(), by.clone(), offer.clone());
        let creating = async move {
            let tenant = by.ctx.tenant;
            let keys: Vec<_> = devices.iter().map(|(_, key)| *key).collect();
            let results = writer
                .store
                .create_updates(tenant, &keys, &offer, force, Some(&by))
                .await;
            // After a store error the result is unknown.
            for (index, (id, _)) in devices.iter().enumerate() {
                let result = results.as_ref().ok().and_then(|results| results.get(index));
                if result.is_none_or(|result| matches!(result, OfferResult::Created(..))) {
                    writer.caches.invalidate_device(tenant, id);
                }
            }
            let ids = devices.into_iter().map(|(id, _)| id);
            Ok(ids.zip(results?).collect())
        };
        let task = tokio::spawn(creating.in_current_span());
        task.await
            .map_err(|panic| Error::internal("create updates", panic))?
    }

    /// Applies the decision on an approval to its updates, in batches.
    pub(crate) async fn apply_approval(
        &self,
        tenant: TenantId,
        id: ApprovalId,
        now: Timestamp,
    ) -> Result<()> {
        let writer = self.clone();
        let applying = async move {
            loop {
                let limit = APPROVAL_BATCH;
                let applied = writer.store.apply_approval(tenant, id, now, limit).await;
                let affected = applied.inspect_err(|error| {
                    // Otherwise nothing was written. An approval that fails again and again must not empty the caches.
                    if matches!(error, StoreError::Unavailable(_)) {
                        writer.caches.invalidate_all();
                    }
                })?;
                writer.caches.invalidate_affected(&affected);
                for affected in &affected {
                    writer.signals.notify_log_watchers(affected.device);
                }
                if affected.len() < limit as usize {
                    return Ok(());
                }
            }
        };
        let task = tokio::spawn(applying.in_current_span());
        task.await
            .map_err(|panic| Error::internal("apply approval", panic))?
    }

    /// Offers a firmware to a device, or lets it wait for approval, and cancels all its open updates; returns the result and
    /// the cancelled updates.
    pub(crate) async fn roll_back(
        &self,
        ctx: &Ctx,
        device: &Device,
        offer: &Offer,
        overrides: OfferOverrides,
        reason: &str,
        needs_approval: bool,
    ) -> Result<(OfferResult, CancelledUpdates)> {
        let (writer, ctx) = (self.clone(), ctx.clone());
        let (device, offer, reason) = (device.clone(), offer.clone(), reason.to_owned());
        let offering = async move {
            let tenant = device.tenant;
            let offered = writer
                .store
                .roll_back_device(&ctx, device.key, &offer, overrides, &reason, needs_approval)
                .await;
            // After a store error the result is unknown.
            writer.caches.invalidate_device(tenant, &device.device_id);
            let (result, cancelled) = offered?;
            if matches!(result, OfferResult::Created(..)) {
                let campaigns = cancelled.iter().filter_map(|(_, campaign)| *campaign);
                writer.wake(tenant, campaigns);
            }
            Ok((result, cancelled))
        };
        let task = tokio::spawn(offering.in_current_span());
        task.await
            .map_err(|panic| Error::internal("roll back device", panic))?
    }

    /// Appends an operator's action to the log of an update. A failure is only logged, since the action has taken
    /// effect. It needs no permit: its request waits for it, so a database that does not answer leaves no task behind. The
    /// action is committed before, and the log's lines are numbered in the transaction that writes them.
    pub(crate) async fn note(&self, ctx: &Ctx, update: &Update, action: &str, reason: &str) {
        let colon = if reason.is_empty() { "" } else { ": " };
        let lines = ReportedLines {
            update: Some(update.id),
            source: LogSource::Host,
            lines: lines(&format!("{action} by {}{colon}{reason}", ctx.actor.name)),
        };
        let report = DeviceReport {
            tenant: update.tenant,
            device: update.device,
            by: None,
            read_at: None,
            at: ctx.now,
            event: DeviceEvent::Log(lines),
        };
        if let Err(error) = self.store.report(report).await {
            let (tenant, update) = (update.tenant, update.id);
            tracing::warn!(error = %chain(&error), %tenant, %update, "operator action not written to the log of the update");
        }
        self.signals.notify_log_watchers(update.device);
    }

    fn wake(&self, tenant: TenantId, campaigns: impl Iterator<Item = CampaignId>) {
        for campaign in campaigns {
            self.signals.wake_campaign(RunRef { tenant, campaign });
        }
    }
}
