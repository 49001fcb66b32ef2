use std::sync::Arc;

use tidegate_core::{device::Device, id::UpdateId};

use super::bulk::created_id;
use crate::{
    Engine, Error, Result, devices,
    ports::{CancelledUpdates, Offer, OfferOverrides, RunRef},
};

/// Offers a firmware to one device in the place of everything that is open for it; answers the update and what it calls
/// back. It goes on when whoever asked hangs up.
pub(super) async fn offer_rollback(
    engine: &Arc<Engine>,
    device: &Device,
    offer: &Offer,
    overrides: OfferOverrides,
) -> Result<(UpdateId, CancelledUpdates)> {
    let (engine, device, offer) = (Arc::clone(engine), device.clone(), offer.clone());
    let task = tokio::spawn(async move {
        let (tenant, id) = (device.tenant, &device.device_id);
        let offered = engine
            .store()
            .roll_back_device(tenant, device.key, &offer, overrides)
            .await;
        // Where the store failed, nobody knows what it did.
        devices::invalidate_device(&engine, tenant, id);
        let (result, cancelled) = offered?;
        let update = created_id(Some(&result)).map_err(|refusal| refusal.into_error(id))?;
        for campaign in cancelled.iter().filter_map(|(_, campaign)| *campaign) {
            engine.signals.wake_campaign(RunRef { tenant, campaign });
        }
        Ok((update, cancelled))
    });
    task.await
        .map_err(|panic| Error::internal("bring a device back", panic))?
}
