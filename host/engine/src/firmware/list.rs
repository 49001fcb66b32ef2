use tidegate_core::firmware::Firmware;

use crate::{
    Ctx, Result,
    ports::{FirmwareFilter, Page, PageRequest, Store},
};

/// Lists firmware that is not deleted, newest first.
pub async fn list(
    ctx: &Ctx,
    store: &dyn Store,
    filter: &FirmwareFilter,
    page: PageRequest,
) -> Result<Page<Firmware>> {
    Ok(store.list_firmware(ctx.tenant, filter, page).await?)
}
