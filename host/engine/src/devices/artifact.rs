use std::{io, ops::Range, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _};
use tidegate_core::{
    firmware::{Artifact, Firmware, Module},
    id::{DeviceKey, Digest, FirmwareId, ModuleId, TenantId, UpdateId},
    time::Timestamp,
    update::UpdateStatus,
};

use super::{Caller, caller_view::caller_view, fetch::FetchedUpdate};
use crate::{
    Engine, Error, Result,
    ports::{ByteStream, PageRequest, PollView, UpdateFilter},
};

/// How many of a device's newest updates are searched for an open one that the poll view does not show.
const MAX_SEARCHED_UPDATES: u32 = 50;

/// A file that a device may fetch.
#[derive(Debug, Clone)]
pub struct ArtifactDownload {
    /// Name, size and hashes.
    pub artifact: Artifact,
    /// When the firmware was uploaded.
    pub created_at: Timestamp,
    /// The open update that it is fetched for.
    fetch: Option<FetchedUpdate>,
}

/// Finds a file of a module that the device may fetch: one of the firmware of an open update, or of its last completed
/// update.
pub async fn artifact(
    caller: &Caller,
    engine: &Engine,
    module: ModuleId,
    filename: &str,
) -> Result<ArtifactDownload> {
    let absent = || Error::not_found("file", filename);
    let found = find_module_for(engine, caller, module)
        .await?
        .ok_or_else(absent)?;
    let module = &found.firmware.modules[found.index];
    let mut artifacts = module.artifacts.iter();
    let artifact = artifacts.find(|artifact| artifact.filename == filename);
    let modules = found.firmware.modules.iter();
    let files = modules.map(|module| module.artifacts.len()).sum();
    let fetch = found.update.map(|(update, status)| FetchedUpdate {
        update,
        status,
        caller: caller.clone(),
        device: found.device,
        module: module.id,
        files,
    });
    Ok(ArtifactDownload {
        artifact: artifact.ok_or_else(absent)?.clone(),
        created_at: found.firmware.created_at,
        fetch,
    })
}

/// Finds a module of a firmware that the device may fetch, as [`artifact`] does.
pub async fn module(caller: &Caller, engine: &Engine, id: ModuleId) -> Result<Module> {
    let found = find_module_for(engine, caller, id)
        .await?
        .ok_or_else(|| Error::not_found("module", id))?;
    Ok(found.firmware.modules[found.index].clone())
}

/// A module that a device may fetch.
struct FoundModule {
    firmware: Arc<Firmware>,
    /// Its index in the firmware.
    index: usize,
    device: DeviceKey,
    /// The open update to the firmware.
    update: Option<(UpdateId, UpdateStatus)>,
}

/// Finds a module, if the device may fetch it.
async fn find_module_for(
    engine: &Engine,
    caller: &Caller,
    module: ModuleId,
) -> Result<Option<FoundModule>> {
    let tenant = caller.tenant;
    let Some(view) = caller_view(engine, caller).await? else {
        return Ok(None);
    };
    let store = engine.store();
    let reading = engine
        .caches
        .firmware
        .firmware_of_module(store, tenant, module);
    let Some(firmware) = caller.wait.bound(reading).await? else {
        return Ok(None);
    };
    let permit = may_fetch(engine, tenant, &view, firmware.id);
    let Some(permit) = caller.wait.bound(permit).await? else {
        return Ok(None);
    };
    engine
        .caches
        .last_seen
        .record(caller.last_seen(view.device, engine.now()));
    let mut modules = firmware.modules.iter();
    let index = modules.position(|other| other.id == module);
    Ok(index.map(|index| FoundModule {
        firmware,
        index,
        device: view.device,
        update: match permit {
            FetchPermit::OpenUpdate(id, status) => Some((id, status)),
            FetchPermit::Installed => None,
        },
    }))
}

impl ArtifactDownload {
    /// A file that is fetched for no update.
    pub fn without_update(artifact: Artifact, created_at: Timestamp) -> Self {
        Self {
            artifact,
            created_at,
            fetch: None,
        }
    }

    /// Opens a byte range of the file for streaming, in constant memory. What is read counts as fetched. Errors name the
    /// file, and the update that it is fetched for records them.
    pub async fn open(&self, engine: &Engine, range: Range<u64>) -> Result<ByteStream> {
        let sha256 = self.artifact.hashes.sha256;
        let opened = self.open_stored(engine, range.clone()).await;
        let filename = self.artifact.filename.clone();
        let unreadable = move |source: io::Error| UnreadableFile {
            filename: filename.clone(),
            sha256: Digest(sha256),
            source,
        };
        let bytes = match opened {
            Ok(bytes) => {
                bytes.map_err(move |error| io::Error::new(error.kind(), unreadable(error)))
            }
            Err(error) => {
                let error = unreadable(error);
                if let Some(fetch) = &self.fetch {
                    fetch.record_failure(&engine.update_writer, engine.now(), &error);
                }
                return Err(Error::internal("open artifact", error));
            }
        };
        Ok(match &self.fetch {
            Some(fetch) => fetch.track(engine, &self.artifact, range.start, bytes.boxed()),
            None => bytes.boxed(),
        })
    }

    async fn open_stored(&self, engine: &Engine, range: Range<u64>) -> io::Result<ByteStream> {
        let (sha256, size) = (self.artifact.hashes.sha256, self.artifact.size);
        let check = engine.files.checks.get_or_begin(sha256, size);
        check.refuse_damaged()?;
        let opened = engine.ports.artifacts.open(sha256, range.clone()).await?;
        let bytes = opened.ok_or_else(|| {
            let lost = "the artifact store has lost the file";
            io::Error::new(io::ErrorKind::NotFound, lost)
        })?;
        let length = range.end.saturating_sub(range.start);
        Ok(check.guard(bytes, length, length == size))
    }
}

/// A stored file cannot be read. Names it: by its hash it is found in the store, by its name in the firmware.
#[derive(Debug, thiserror::Error)]
#[error("{filename} ({sha256})")]
struct UnreadableFile {
    filename: String,
    sha256: Digest,
    source: io::Error,
}

/// Why a device may fetch a firmware.
enum FetchPermit {
    OpenUpdate(UpdateId, UpdateStatus),
    /// It was installed last.
    Installed,
}

async fn may_fetch(
    engine: &Engine,
    tenant: TenantId,
    view: &PollView,
    firmware: FirmwareId,
) -> Result<Option<FetchPermit>> {
    let open = view
        .open
        .as_ref()
        .filter(|open| open.status != UpdateStatus::Cancelling);
    if let Some(open) = open.filter(|open| open.firmware == firmware) {
        return Ok(Some(FetchPermit::OpenUpdate(open.id, open.status)));
    }
    if let Some(update) = view.installed {
        let installed = engine
            .caches
            .firmware
            .firmware_id_of_update(engine.store(), tenant, update)
            .await?;
        if installed == Some(firmware) {
            return Ok(Some(FetchPermit::Installed));
        }
    }
    // A device may finish an update after one with a higher weight has arrived, and a device in its soak time may
    // repeat a download that a restart lost.
    open_update_to(engine, tenant, view, firmware).await
}

/// An open update of the device to this firmware, besides the one that the poll view shows.
async fn open_update_to(
    engine: &Engine,
    tenant: TenantId,
    view: &PollView,
    firmware: FirmwareId,
) -> Result<Option<FetchPermit>> {
    let filter = UpdateFilter {
        campaign: None,
        device: Some(view.device),
        status: None,
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
        let is_hidden = matches!(
            status,
            UpdateStatus::Cancelling | UpdateStatus::Scheduled | UpdateStatus::WaitingApproval
        );
        status.is_open() && !is_hidden && !row.update.state.awaits_version()
    });
    let found = open.find(|row| row.update.firmware == firmware);
    Ok(found.map(|row| FetchPermit::OpenUpdate(row.update.id, row.update.state.status)))
}
