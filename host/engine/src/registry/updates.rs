use crate::{
    Engine, Result,
    ports::{Page, PageRequest, UpdateFilter, UpdateRow},
    tenants::Actor,
};

/// Lists a device's updates, newest first.
pub async fn updates(
    engine: &Engine,
    actor: &Actor,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<UpdateRow>> {
    let device = super::get(engine, actor, device_id).await?;
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
    };
    Ok(engine
        .store()
        .list_updates(actor.tenant, &filter, page)
        .await?)
}
