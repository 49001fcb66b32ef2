use crate::{
    Engine, Error, Result,
    ports::{AttributeChange, Page, PageRequest, Role},
    tenants::Actor,
};

/// Attribute changes from a device's reports, newest first.
pub async fn attribute_changes(
    engine: &Engine,
    actor: &Actor,
    device_id: &str,
    page: PageRequest,
) -> Result<Page<AttributeChange>> {
    actor.require(Role::Viewer)?;
    let changes = engine
        .store()
        .attribute_changes(actor.tenant, device_id, page)
        .await?;
    changes.ok_or_else(|| Error::not_found("device", device_id))
}
