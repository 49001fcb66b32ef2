use tidegate_core::firmware::Firmware;

use crate::{
    Engine, Result,
    ports::{FirmwareFilter, Page, PageRequest, Role},
    tenants::Actor,
};

/// Lists firmware that is not deleted, newest first.
pub async fn list(
    engine: &Engine,
    actor: &Actor,
    filter: &FirmwareFilter,
    page: PageRequest,
) -> Result<Page<Firmware>> {
    actor.require(Role::Viewer)?;
    Ok(engine
        .store()
        .list_firmware(actor.tenant, filter, page)
        .await?)
}
