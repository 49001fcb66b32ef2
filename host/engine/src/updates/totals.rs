use tidegate_core::wave::Counts;

use crate::{Ctx, Result, ports::Store, registry};

/// The number of a device's updates by status.
pub async fn totals(ctx: &Ctx, store: &dyn Store, device_id: &str) -> Result<Counts> {
    let device = registry::get(ctx, store, device_id).await?;
    Ok(store.totals(ctx.tenant, device.key).await?)
}
