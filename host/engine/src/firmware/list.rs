use tidegate_core::firmware::Firmware;

use crate::{
    Ctx, Engine, Result,
    ports::{FirmwareFilter, Page, PageRequest},
};

/// Lists firmware that is not deleted, newest first.
pub async fn list(
    ctx: &Ctx,
    engine: &Engine,
    filter: &FirmwareFilter,
    page: PageRequest,
) -> Result<Page<Firmware>> {
    Ok(engine
        .store()
        .list_firmware(ctx.tenant, filter, page)
        .await?)
}
