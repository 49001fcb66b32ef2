use tidegate_core::{id::UpdateId, update::UpdateStatus, wave::Counts};

use crate::{
    Ctx, Error, Result,
    ports::{Page, PageRequest, Store, UpdateFilter, UpdateRow},
    registry,
};

/// The update of this id.
pub async fn get(ctx: &Ctx, store: &dyn Store, id: UpdateId) -> Result<UpdateRow> {
    let row = store.update(ctx.tenant, id).await?;
    row.ok_or_else(|| Error::not_found("update", id))
}

/// A page of the updates of all devices, newest first.
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    status: Option<UpdateStatus>,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    let filter = UpdateFilter {
        status,
        ..UpdateFilter::default()
    };
    Ok(store.list_updates(ctx.tenant, &filter, page).await?)
}

/// The number of a device's updates by status.
pub async fn totals(ctx: &Ctx, store: &dyn Store, device_id: &str) -> Result<Counts> {
    let device = registry::get_stored(ctx, store, device_id).await?;
    Ok(store.totals(ctx.tenant, device.key).await?)
}
