use tidegate_core::device::Device;

use crate::{Ctx, Error, Result, ports::Store};

/// The device of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, device_id: &str) -> Result<Device> {
    let device = store.device(ctx.tenant, device_id).await?;
    device.ok_or_else(|| Error::not_found("device", device_id))
}
