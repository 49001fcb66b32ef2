use tidegate_core::id::FirmwareId;

use crate::{
    Authorized, Error, Publisher, Result,
    ports::{Store, StoreError},
};

/// Hides a firmware from lists and from new campaigns. Its files stay, because devices that have it may download them
/// again.
pub async fn delete(ctx: &Authorized<Publisher>, store: &dyn Store, id: FirmwareId) -> Result<()> {
    match store.delete_firmware(ctx, id, ctx.now).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::not_found("firmware", id)),
        Err(StoreError::Conflict(message)) => Err(Error::conflict("firmware_in_use", message)),
        Err(error) => Err(error.into()),
    }
}
