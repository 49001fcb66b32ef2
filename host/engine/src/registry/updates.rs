use crate::{
    Ctx, Engine, Result,
    ports::{Page, PageRequest, UpdateFilter, UpdateRow},
};

/// Lists a device's updates, newest first.
pub async fn updates(
    ctx: &Ctx,
    engine: &Engine,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    let device = super::get(ctx, engine, device_id).await?;
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
    };
    Ok(engine
        .store()
        .list_updates(ctx.tenant, &filter, page)
        .await?)
}
