use std::sync::Arc;

use tidegate_core::{device::Device, id::UpdateId};

use super::bulk::outcome;
use crate::{
    Engine, Error, Result, devices,
    ports::{CalledBack, Offer, Past, RunRef},
};

/// Offers a firmware to one device in the place of everything that is open for it; answers the update and what it calls
/// back. It goes on when whoever asked hangs up.
pub(super) async fn bring_back(
    engine: &Arc<Engine>,
    device: &Device,
    offer: &Offer,
    past: Past,
) -> Result<(UpdateId, CalledBack)> {
    let (engine, device, offer) = (Arc::clone(engine), device.clone(), offer.clone());
    let task = tokio::spawn(async move {
        let (tenant, id) = (device.tenant, &device.device_id);
        let done = engine
            .store()
            .bring_back(tenant, device.key, &offer, past)
            .await;
        // Where the store failed, nobody knows what it did.
        devices::forget_device(&engine, tenant, id);
        let (made, called_back) = done?;
        let update = outcome(Some(&made)).map_err(|obstacle| obstacle.into_error(id))?;
        for campaign in called_back.iter().filter_map(|(_, campaign)| *campaign) {
            engine.signals.campaign_moved(RunRef { tenant, campaign });
        }
        Ok((update, called_back))
    });
    task.await
        .map_err(|panic| Error::internal("bring a device back", panic))?
}
