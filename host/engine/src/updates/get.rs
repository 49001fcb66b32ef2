use tidegate_core::id::UpdateId;

use crate::{
    Engine, Error, Result,
    ports::{Role, UpdateRow},
    tenants::Actor,
};

/// The update of this id.
pub async fn get(engine: &Engine, actor: &Actor, id: UpdateId) -> Result<UpdateRow> {
    actor.require(Role::Viewer)?;
    let row = engine.store().update(actor.tenant, id).await?;
    row.ok_or_else(|| Error::not_found("update", id))
}
