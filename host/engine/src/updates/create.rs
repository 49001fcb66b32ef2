use std::sync::Arc;

use super::{
    Obstacle, Wish,
    bulk::{make, outcome},
    check::{Checked, Policies},
};
use crate::{
    Engine, Error, Result,
    ports::{Offer, Role, UpdateRow},
    tenants::Actor,
};

/// Offers a firmware to a device. What stands against it is a conflict with the reason, and nothing is made then.
pub async fn create(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    wish: &Wish,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    // The path is looked at before the body.
    if engine
        .store()
        .device(actor.tenant, device_id)
        .await?
        .is_none()
    {
        return Err(Error::not_found("device", device_id));
    }
    let firmware = wish.firmware(engine, actor).await?;
    let policies = Policies::of(engine, actor.tenant, wish).await?;
    let named = vec![device_id.to_owned()];
    let checked = policies
        .check(
            engine,
            actor.tenant,
            &firmware,
            wish.terms.timeouts.update,
            named,
        )
        .await?;
    let offer = wish.offer(engine, &firmware);
    create_checked(engine, actor, device_id, &checked, &offer, wish.force)
        .await?
        .map_err(|obstacle| obstacle.into_error(device_id))
}

/// Makes the update of one device that policies were asked about, or says what stands against it.
pub(super) async fn create_checked(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    checked: &Checked,
    offer: &Offer,
    force: bool,
) -> Result<std::result::Result<UpdateRow, Obstacle>> {
    if let Some((_, Some(reason))) = checked.get(device_id) {
        return Ok(Err(Obstacle::Incompatible(reason.clone())));
    }
    let ids = [device_id.to_owned()];
    let made = make(engine, actor, &ids, checked, offer, force).await?;
    match outcome(made.get(device_id)) {
        Ok(id) => super::get(engine, actor, id).await.map(Ok),
        Err(obstacle) => Ok(Err(obstacle)),
    }
}
