use crate::{
    Ctx, Error, Result,
    ports::{AttributeChange, Page, PageRequest, Store},
};

/// Attribute changes from a device's reports, newest first.
pub async fn attribute_changes(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<AttributeChange>> {
    let changes = store.attribute_changes(ctx.tenant, device_id, page).await?;
    changes.ok_or_else(|| Error::not_found("device", device_id))
}
