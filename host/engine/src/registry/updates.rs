use crate::{
    Ctx, Result,
    ports::{Page, PageRequest, Store, UpdateFilter, UpdateRow},
};

/// Lists a device's updates, newest first.
pub async fn updates(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    let device = super::get(ctx, store, device_id).await?;
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
    };
    Ok(store.list_updates(ctx.tenant, &filter, page).await?)
}
