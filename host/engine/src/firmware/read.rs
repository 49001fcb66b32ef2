use tidegate_core::{
    firmware::{Artifact, Firmware},
    id::FirmwareId,
};

use crate::{
    Ctx, Error, Result,
    ports::{FirmwareFilter, Page, PageRequest, Store},
};

/// The firmware of this id. A deleted one is found as long as campaigns, updates or devices refer to it.
pub async fn get(ctx: &Ctx, store: &dyn Store, id: FirmwareId) -> Result<Firmware> {
    let absent = || Error::not_found("firmware", id);
    let firmware = store.firmware(ctx.tenant, id).await?.ok_or_else(absent)?;
    if firmware.deleted_at.is_some() && !store.firmware_is_used(ctx.tenant, id).await? {
        return Err(absent());
    }
    Ok(firmware)
}

/// Lists firmware that is not deleted, newest first.
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    filter: &FirmwareFilter,
    page: PageRequest,
) -> Result<Page<Firmware>> {
    Ok(store.list_firmware(ctx.tenant, filter, page).await?)
}

/// The files of a firmware, in the order of its modules.
pub fn files(firmware: &Firmware) -> impl Iterator<Item = &Artifact> {
    firmware.modules.iter().flat_map(|module| &module.artifacts)
}
