//! A device has read its update. That is recorded with the device's next report on the update, or soon after.

use std::time::Duration;

use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    update::UpdateEvent,
};
use tokio::time::sleep;
use tracing::Instrument as _;

use super::Caller;
use crate::{
    Engine, UpdateWriter, chain,
    ports::{DeviceEvent, DeviceReport},
    retrieval_buffer::Retrieval,
};

/// How long a retrieval waits for a report that it is recorded with. Most devices report the beginning of the download at
/// once.
const MAX_DELAY: Duration = Duration::from_millis(200);

/// Records in the background that the device of the caller has read this update.
pub(super) fn record_soon(engine: &Engine, caller: &Caller, device: DeviceKey, update: UpdateId) {
    let (writer, tenant) = (engine.update_writer.clone(), caller.tenant);
    let retrieval = Retrieval {
        device,
        device_id: caller.device_id.clone(),
        at: engine.now(),
    };
    if !engine.caches.retrievals.insert(tenant, update, retrieval) {
        return;
    }
    let recording = async move {
        sleep(MAX_DELAY).await;
        record_buffered(&writer, tenant, update).await;
    };
    tokio::spawn(recording.in_current_span());
}

/// Records all retrievals that are not recorded yet.
pub async fn flush_retrievals(writer: &UpdateWriter) {
    for (tenant, update) in writer.retrievals().updates() {
        record_buffered(writer, tenant, update).await;
    }
}

/// Records a retrieval unless a report has taken it.
async fn record_buffered(writer: &UpdateWriter, tenant: TenantId, update: UpdateId) {
    let Some(retrieval) = writer.retrievals().take(tenant, update) else {
        return;
    };
    let report = DeviceReport {
        tenant,
        device: retrieval.device,
        by: None,
        at: retrieval.at,
        read_at: None,
        event: DeviceEvent::Update(update, UpdateEvent::Retrieved),
    };
    if let Err(error) = writer.report(&retrieval.device_id, report).await {
        tracing::warn!(error = %chain(&error), %tenant, %update, "retrieval of an update not recorded");
    }
}
