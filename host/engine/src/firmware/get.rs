use tidegate_core::{
    firmware::{Artifact, Firmware},
    id::FirmwareId,
};

use crate::{Engine, Error, Result, ports::Role, tenants::Actor};

/// The firmware of this id, deleted or not: campaigns and devices may still refer to it.
pub async fn get(engine: &Engine, actor: &Actor, id: FirmwareId) -> Result<Firmware> {
    actor.require(Role::Viewer)?;
    let firmware = engine.store().firmware(actor.tenant, id).await?;
    firmware.ok_or_else(|| Error::not_found("firmware", id))
}

/// The files of a firmware, in the order of its modules.
pub fn files(firmware: &Firmware) -> impl Iterator<Item = &Artifact> {
    firmware.modules.iter().flat_map(|module| &module.artifacts)
}
