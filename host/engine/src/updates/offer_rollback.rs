use std::sync::Arc;

use tidegate_core::{device::Device, id::UpdateId};

use super::bulk::created_id;
use crate::{
    Ctx, Engine, Error, Result, devices,
    ports::{CancelledUpdates, Offer, OfferOverrides, RunRef},
};

/// Offers a firmware to a device and cancels all its open updates; returns the new update and the cancelled ones. It
/// completes even if the client disconnects.
pub(super) async fn offer_rollback(
    ctx: &Ctx,
    engine: &Arc<Engine>,
    device: &Device,
    offer: &Offer,
    overrides: OfferOverrides,
) -> Result<(UpdateId, CancelledUpdates)> {
    let (ctx, engine) = (ctx.clone(), Arc::clone(engine));
    let (device, offer) = (device.clone(), offer.clone());
    let task = tokio::spawn(async move {
        let (tenant, id) = (device.tenant, &device.device_id);
        let offered = engine
            .store()
            .roll_back_device(&ctx, device.key, &offer, overrides)
            .await;
        // After a store error the result is unknown.
        devices::invalidate_device(&engine, tenant, id);
        let (result, cancelled) = offered?;
        let update = created_id(Some(&result)).map_err(|refusal| refusal.into_error(id))?;
        for campaign in cancelled.iter().filter_map(|(_, campaign)| *campaign) {
            engine.signals.wake_campaign(RunRef { tenant, campaign });
        }
        Ok((update, cancelled))
    });
    task.await
        .map_err(|panic| Error::internal("roll back device", panic))?
}
