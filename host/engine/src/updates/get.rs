use tidegate_core::id::UpdateId;

use crate::{
    Ctx, Error, Result,
    ports::{Store, UpdateRow},
};

/// The update of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, id: UpdateId) -> Result<UpdateRow> {
    let row = store.update(ctx.tenant, id).await?;
    row.ok_or_else(|| Error::not_found("update", id))
}
