use std::{io, ops::Range, sync::Arc};

use tidegate_core::{
    firmware::{Artifact, Firmware, Module},
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
    update::UpdateStatus,
};

use super::{Caller, poll_view::caller_view};
use crate::{
    Engine, Error, Result,
    ports::{ByteStream, PageRequest, PollView, UpdateFilter},
};

/// Among how many of a device's newest updates one that it is not shown is looked for.
const MAX_SEARCHED_UPDATES: u32 = 50;

/// A file that a device may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactDownload {
    /// The file.
    pub artifact: Artifact,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// Finds a file of a module, if it is for this device now: of the firmware of an open update, or of the one that its
/// last completed update brought.
pub async fn artifact(
    engine: &Engine,
    caller: &Caller,
    module: ModuleId,
    filename: &str,
) -> Result<ArtifactDownload> {
    let absent = || Error::not_found("file", filename);
    let (firmware, module) = find_module_for(engine, caller, module)
        .await?
        .ok_or_else(absent)?;
    let mut artifacts = firmware.modules[module].artifacts.iter();
    let artifact = artifacts.find(|artifact| artifact.filename == filename);
    Ok(ArtifactDownload {
        artifact: artifact.ok_or_else(absent)?.clone(),
        created_at: firmware.created_at,
    })
}

/// Finds a module of a firmware that is for this device now, likewise.
pub async fn module(engine: &Engine, caller: &Caller, id: ModuleId) -> Result<Module> {
    let (firmware, index) = find_module_for(engine, caller, id)
        .await?
        .ok_or_else(|| Error::not_found("module", id))?;
    Ok(firmware.modules[index].clone())
}

/// A firmware that is for this device now, and the place of the module in it.
async fn find_module_for(
    engine: &Engine,
    caller: &Caller,
    module: ModuleId,
) -> Result<Option<(Arc<Firmware>, usize)>> {
    let tenant = caller.tenant;
    let Some(view) = caller_view(engine, caller).await? else {
        return Ok(None);
    };
    let store = engine.store();
    let Some(firmware) = engine
        .firmware_cache
        .firmware_of_module(store, tenant, module)
        .await?
    else {
        return Ok(None);
    };
    if !may_fetch(engine, tenant, &view, firmware.id).await? {
        return Ok(None);
    }
    engine
        .last_seen
        .record(caller.last_seen(view.device, engine.now()));
    let mut modules = firmware.modules.iter();
    let index = modules.position(|other| other.id == module);
    Ok(index.map(|index| (firmware, index)))
}

impl ArtifactDownload {
    /// Reads a part of the file. Memory does not grow with it.
    pub async fn open(&self, engine: &Engine, range: Range<u64>) -> Result<ByteStream> {
        let sha256 = self.artifact.hashes.sha256;
        let opened = engine.ports.artifacts.open(sha256, range).await;
        let failed = |error: io::Error| Error::internal("open artifact", error);
        opened.map_err(failed)?.ok_or_else(|| {
            failed(io::Error::new(
                io::ErrorKind::NotFound,
                "its bytes are lost",
            ))
        })
    }
}

async fn may_fetch(
    engine: &Engine,
    tenant: TenantId,
    view: &PollView,
    firmware: FirmwareId,
) -> Result<bool> {
    let open = view
        .open
        .as_ref()
        .filter(|open| open.status != UpdateStatus::Cancelling);
    for update in open.map(|open| open.id).into_iter().chain(view.installed) {
        let offered = engine
            .firmware_cache
            .firmware_id_of_update(engine.store(), tenant, update)
            .await?;
        if offered == Some(firmware) {
            return Ok(true);
        }
    }
    // A heavier update may have come while the device was at another: what it has begun it may finish. And one that has
    // yet to prove itself may have to fetch what it lost in a restart.
    has_open_update_to(engine, tenant, view, firmware).await
}

/// Whether an open update of the device that it is not shown brings this firmware.
async fn has_open_update_to(
    engine: &Engine,
    tenant: TenantId,
    view: &PollView,
    firmware: FirmwareId,
) -> Result<bool> {
    let filter = UpdateFilter {
        campaign: None,
        device: Some(view.device),
    };
    let newest = PageRequest {
        limit: MAX_SEARCHED_UPDATES,
        offset: 0,
    };
    let updates = engine
        .store()
        .list_updates(tenant, &filter, newest)
        .await?
        .items;
    let mut open = updates.iter().filter(|row| {
        let status = row.update.state.status;
        status.is_open() && !matches!(status, UpdateStatus::Cancelling | UpdateStatus::Scheduled)
    });
    Ok(open.any(|row| row.update.firmware == firmware))
}
