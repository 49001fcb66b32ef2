use tidegate_core::wave::Counts;

use crate::{Engine, Result, ports::Role, registry, tenants::Actor};

/// The number of a device's updates by status.
pub async fn totals(engine: &Engine, actor: &Actor, device_id: &str) -> Result<Counts> {
    actor.require(Role::Viewer)?;
    let device = registry::get(engine, actor, device_id).await?;
    Ok(engine.store().totals(actor.tenant, device.key).await?)
}
