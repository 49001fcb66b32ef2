use super::{
    OfferRefusal, UpdateRequest,
    approve::requested_approval,
    bulk::{create_checked, created_id},
    policies::{compatibility_of, policies_of},
};
use crate::{
    Authorized, Error, Operator, PluginCalls, Result, UpdateWriter,
    compatibility::{CheckedDevice, CheckedDevices, CompatibilityCheck, context_without_campaign},
    ports::{Offer, OfferAction, OfferActor, UpdateAuthorship, UpdateRow},
};

/// Offers a firmware to a device. With `force` it may have to be approved first. If the device is refused, the error is
/// a conflict with the reason, and nothing is created.
pub async fn create(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    plugins: &PluginCalls,
    device_id: &str,
    request: &UpdateRequest,
) -> Result<UpdateRow> {
    // The path is checked before the body.
    let store = writer.store();
    if store.device(ctx.tenant, device_id).await?.is_none() {
        return Err(Error::not_found("device", device_id));
    }
    let (firmware, chosen) = request.check(ctx, store, plugins).await?.finish()?;
    let policies = policies_of(store, plugins, ctx.tenant, request, chosen).await?;
    let check = CompatibilityCheck {
        plugins,
        tenant: ctx.tenant,
        policies: &policies,
        firmware: &firmware,
        context: context_without_campaign(ctx.now, request.options.timeouts.update),
    };
    let checked = check
        .check_devices(
            store,
            request.intermediate_rules(&firmware),
            vec![device_id.to_owned()],
        )
        .await?;
    let offer = Offer {
        compatibility: compatibility_of(request, &policies, &checked, ctx.now),
        ..request.offer(ctx, &firmware)
    };
    let by = OfferActor {
        ctx: (**ctx).clone(),
        action: OfferAction::Create,
        authorship: UpdateAuthorship::single(ctx),
        approval: if request.force {
            requested_approval(ctx, store).await?
        } else {
            None
        },
        incomplete_until: None,
    };
    create_one(&by, writer, device_id, &checked, &offer, request.force)
        .await?
        .map_err(|refusal| refusal.into_error(device_id))
}

/// Creates the update of a device that the policies have checked, or returns why it is refused.
pub(super) async fn create_one(
    by: &OfferActor,
    writer: &UpdateWriter,
    device_id: &str,
    checked: &CheckedDevices,
    offer: &Offer,
    force: bool,
) -> Result<std::result::Result<UpdateRow, OfferRefusal>> {
    let found = checked.get(device_id);
    if let Some(reason) = found.and_then(CheckedDevice::rejection) {
        return Ok(Err(OfferRefusal::Incompatible(reason.clone())));
    }
    let ids = [device_id.to_owned()];
    let results = create_checked(by, writer, &ids, checked, offer, force).await?;
    match created_id(results.get(device_id)) {
        Ok(id) => super::get(&by.ctx, writer.store(), id).await.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}
