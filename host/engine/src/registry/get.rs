use tidegate_core::device::Device;

use crate::{Engine, Error, Result, ports::Role, tenants::Actor};

/// The device of this id.
pub async fn get(engine: &Engine, actor: &Actor, device_id: &str) -> Result<Device> {
    actor.require(Role::Viewer)?;
    let device = engine.store().device(actor.tenant, device_id).await?;
    device.ok_or_else(|| Error::not_found("device", device_id))
}
