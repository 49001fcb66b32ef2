use tidegate_core::wave::Counts;

use crate::{Engine, Result, ports::Role, registry, tenants::Actor};

/// How many updates of a device stand where.
pub async fn totals(engine: &Engine, actor: &Actor, device_id: &str) -> Result<Counts> {
    actor.require(Role::Viewer)?;
    let device = registry::get(engine, actor, device_id).await?;
    Ok(engine.store().totals(actor.tenant, device.key).await?)
}
