use tidegate_core::device::Device;

use crate::{Ctx, Engine, Error, Result};

/// The device of this id.
pub async fn get(ctx: &Ctx, engine: &Engine, device_id: &str) -> Result<Device> {
    let device = engine.store().device(ctx.tenant, device_id).await?;
    device.ok_or_else(|| Error::not_found("device", device_id))
}
