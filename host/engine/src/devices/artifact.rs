use std::{io, ops::Range, sync::Arc};

use tidegate_core::{
    firmware::{Artifact, Firmware, Module},
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
    update::UpdateStatus,
};

use super::{Caller, caller_view::caller_view};
use crate::{
    Engine, Error, Result,
    ports::{ByteStream, PageRequest, PollView, UpdateFilter},
};

/// How many of a device's newest updates are searched for an open one that the poll view does not show.
const MAX_SEARCHED_UPDATES: u32 = 50;

/// A file that a device may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactDownload {
    /// Name, size and hashes.
    pub artifact: Artifact,
    /// When the firmware was uploaded.
    pub created_at: Timestamp,
}

/// Finds a file of a module that the device may fetch: one of the firmware of an open update, or of its last completed
/// update.
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

/// Finds a module of a firmware that the device may fetch, as [`artifact`] does.
pub async fn module(engine: &Engine, caller: &Caller, id: ModuleId) -> Result<Module> {
    let (firmware, index) = find_module_for(engine, caller, id)
        .await?
        .ok_or_else(|| Error::not_found("module", id))?;
    Ok(firmware.modules[index].clone())
}

/// The firmware of a module and the module's index in it, if the device may fetch it.
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
        .caches
        .firmware
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
    /// Opens a byte range of the file for streaming, in constant memory.
    pub async fn open(&self, engine: &Engine, range: Range<u64>) -> Result<ByteStream> {
        let sha256 = self.artifact.hashes.sha256;
        let opened = engine.ports.artifacts.open(sha256, range).await;
        let failed = |error: io::Error| Error::internal("open artifact", error);
        opened.map_err(failed)?.ok_or_else(|| {
            failed(io::Error::new(
                io::ErrorKind::NotFound,
                "the artifact store has lost the file",
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
            .caches
            .firmware
            .firmware_id_of_update(engine.store(), tenant, update)
            .await?;
        if offered == Some(firmware) {
            return Ok(true);
        }
    }
    // A device may finish an update after one with a higher weight has arrived, and a device in its soak time may
    // repeat a download that a restart lost.
    has_open_update_to(engine, tenant, view, firmware).await
}

/// Whether the device has an open update to this firmware besides the one that the poll view shows.
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
