use tidegate_core::{id::UpdateId, wave::Counts};

use crate::{
    Ctx, Error, Result,
    ports::{Store, UpdateRow},
    registry,
};

/// The update of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, id: UpdateId) -> Result<UpdateRow> {
    let row = store.update(ctx.tenant, id).await?;
    row.ok_or_else(|| Error::not_found("update", id))
}

/// The number of a device's updates by status.
pub async fn totals(ctx: &Ctx, store: &dyn Store, device_id: &str) -> Result<Counts> {
    let device = registry::get_stored(ctx, store, device_id).await?;
    Ok(store.totals(ctx.tenant, device.key).await?)
}
