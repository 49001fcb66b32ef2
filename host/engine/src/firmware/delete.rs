use tidegate_core::id::FirmwareId;

use crate::{
    Engine, Error, Result,
    ports::{Role, StoreError},
    tenants::Actor,
};

/// Hides a firmware from lists and from new campaigns. Its files stay, because devices that have it may download them
/// again.
pub async fn delete(engine: &Engine, actor: &Actor, id: FirmwareId) -> Result<()> {
    actor.require(Role::Publisher)?;
    match engine
        .store()
        .delete_firmware(actor.tenant, id, engine.now())
        .await
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::not_found("firmware", id)),
        Err(StoreError::Conflict(message)) => Err(Error::conflict("firmware_in_use", message)),
        Err(error) => Err(error.into()),
    }
}
