use tidegate_core::id::UpdateId;

use crate::{Ctx, Engine, Error, Result, ports::UpdateRow};

/// The update of this id.
pub async fn get(ctx: &Ctx, engine: &Engine, id: UpdateId) -> Result<UpdateRow> {
    let row = engine.store().update(ctx.tenant, id).await?;
    row.ok_or_else(|| Error::not_found("update", id))
}
