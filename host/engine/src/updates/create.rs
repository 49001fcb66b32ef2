use std::sync::Arc;

use super::{
    OfferRefusal, UpdateRequest,
    bulk::{create_in_transaction, created_id},
    policies::{CheckedDevices, Policies},
};
use crate::{
    Engine, Error, Result,
    ports::{Offer, Role, UpdateRow},
    tenants::Actor,
};

/// Offers a firmware to a device. If the device is refused, the error is a conflict with the reason, and nothing is
/// created.
pub async fn create(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    request: &UpdateRequest,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    // The path is checked before the body.
    if engine
        .store()
        .device(actor.tenant, device_id)
        .await?
        .is_none()
    {
        return Err(Error::not_found("device", device_id));
    }
    let firmware = request.firmware(engine, actor).await?;
    let policies = Policies::for_request(engine, actor.tenant, request).await?;
    let device_ids = vec![device_id.to_owned()];
    let checked = policies
        .check(
            engine,
            actor.tenant,
            &firmware,
            request.options.timeouts.update,
            device_ids,
        )
        .await?;
    let offer = request.offer(engine, &firmware);
    create_checked(engine, actor, device_id, &checked, &offer, request.force)
        .await?
        .map_err(|refusal| refusal.into_error(device_id))
}

/// Creates the update of a device that the policies have checked, or returns why it is refused.
pub(super) async fn create_checked(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    checked: &CheckedDevices,
    offer: &Offer,
    force: bool,
) -> Result<std::result::Result<UpdateRow, OfferRefusal>> {
    if let Some((_, Some(reason))) = checked.get(device_id) {
        return Ok(Err(OfferRefusal::Incompatible(reason.clone())));
    }
    let ids = [device_id.to_owned()];
    let results = create_in_transaction(engine, actor, &ids, checked, offer, force).await?;
    match created_id(results.get(device_id)) {
        Ok(id) => super::get(engine, actor, id).await.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}
