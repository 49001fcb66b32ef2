use std::sync::Arc;

use super::{
    OfferRefusal, UpdateRequest,
    bulk::{create_in_transaction, created_id},
    policies::{CheckedDevices, Policies},
};
use crate::{
    Authorized, Engine, Error, Operator, Result,
    ports::{Offer, OfferAction, OfferedBy, UpdateRow},
};

/// Offers a firmware to a device. If the device is refused, the error is a conflict with the reason, and nothing is
/// created.
pub async fn create(
    ctx: &Authorized<Operator>,
    engine: &Arc<Engine>,
    device_id: &str,
    request: &UpdateRequest,
) -> Result<UpdateRow> {
    // The path is checked before the body.
    if engine
        .store()
        .device(ctx.tenant, device_id)
        .await?
        .is_none()
    {
        return Err(Error::not_found("device", device_id));
    }
    let (firmware, policies) = request.check(ctx, engine).await?.finish()?;
    let policies = Policies::for_request(engine, ctx.tenant, request, policies).await?;
    let device_ids = vec![device_id.to_owned()];
    let checked = policies
        .check(
            engine,
            ctx.tenant,
            &firmware,
            request.options.timeouts.update,
            device_ids,
        )
        .await?;
    let offer = request.offer(ctx, &firmware);
    let by = OfferedBy {
        ctx: (**ctx).clone(),
        action: OfferAction::Create,
    };
    create_checked(&by, engine, device_id, &checked, &offer, request.force)
        .await?
        .map_err(|refusal| refusal.into_error(device_id))
}

/// Creates the update of a device that the policies have checked, or returns why it is refused.
pub(super) async fn create_checked(
    by: &OfferedBy,
    engine: &Arc<Engine>,
    device_id: &str,
    checked: &CheckedDevices,
    offer: &Offer,
    force: bool,
) -> Result<std::result::Result<UpdateRow, OfferRefusal>> {
    if let Some((_, Some(reason))) = checked.get(device_id) {
        return Ok(Err(OfferRefusal::Incompatible(reason.clone())));
    }
    let ids = [device_id.to_owned()];
    let results = create_in_transaction(by, engine, &ids, checked, offer, force).await?;
    match created_id(results.get(device_id)) {
        Ok(id) => super::get(&by.ctx, engine.store(), id).await.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}
