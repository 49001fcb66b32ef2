use tidegate_core::wave::Counts;

use crate::{Ctx, Engine, Result, registry};

/// The number of a device's updates by status.
pub async fn totals(ctx: &Ctx, engine: &Engine, device_id: &str) -> Result<Counts> {
    let device = registry::get(ctx, engine, device_id).await?;
    Ok(engine.store().totals(ctx.tenant, device.key).await?)
}
