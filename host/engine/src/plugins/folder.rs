use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::Origin,
};
use tokio::{
    fs::File,
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};
use tracing::Instrument as _;

use super::upload::{reserved_name, store_component};
use crate::{Actor, Engine, Error, Publisher, Result, chain, health::task_span, ports::Inspection};

/// Maximum size of a component that is read: the largest limit that an operator can set, and a byte to exceed it.
const MAX_BYTES: u64 = (32 << 20) + 1;
/// Maximum time to read a component, which may be on a disk that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time to inspect a component. Each step of the inspection has a limit of its own; this one holds for what they
/// overlook.
const INSPECTION_TIMEOUT: Duration = Duration::from_mins(3);
/// First delay before the installation is retried; it doubles each time.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum delay before the installation is retried.
const MAX_RETRY_DELAY: Duration = Duration::from_mins(5);

/// Installs the components of a folder (`*.wasm`) for every tenant, after a tenant was created. Revisions that a tenant has
/// already are not inspected again. A component that is rejected or cannot be read is logged and skipped. Returns the
/// number of installed revisions, or the error of one that could not be installed now, after all others are installed.
pub async fn install_folder(engine: &Engine, folder: &Path) -> Result<usize> {
    let mut installation = Installation::begin(engine).await?;
    for path in components(folder).await? {
        match read(&path).await {
            Ok(component) => installation.install(&path, component.into()).await,
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component cannot be read");
            }
        }
    }
    installation.finish()
}

/// Installs those components of the folder that are built-in plugins. Devices get no updates without them, so the server
/// installs them before it serves. Each is read from the file with its name only.
pub async fn install_built_ins(engine: &Engine, folder: &Path) -> Result<usize> {
    let paths = components(folder).await?;
    let mut installation = Installation::begin(engine).await?;
    for path in paths {
        let name = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        let Some(digest) = name.and_then(|name| engine.plugins.built_ins().digest(&name)) else {
            continue;
        };
        // What cannot be read, or is another component, is reported when the whole folder is installed.
        if let Ok(component) = read(&path).await
            && Digest::of(&component) == digest
        {
            installation.install(&path, component.into()).await;
        }
    }
    installation.finish()
}

/// Installs the components of the folder while the server runs, and retries those that cannot be installed now. Ends when
/// each is installed or rejected.
pub async fn install_folder_loop(engine: Arc<Engine>, folder: PathBuf) {
    let mut delay = MIN_RETRY_DELAY;
    loop {
        let span = task_span("installation of components");
        let installing = install_folder(&engine, &folder).instrument(span);
        match installing.await {
            Ok(installed) => {
                tracing::info!(installed, folder = %folder.display(), "components installed");
                return;
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), folder = %folder.display(), retry_in = ?delay,
                    "components not installed; retrying");
            }
        }
        sleep(delay).await;
        delay = (delay * 2).min(MAX_RETRY_DELAY);
    }
}

/// Reads a component. Opening another kind of file can hang: a pipe waits for its writer.
async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let reading = async {
        if !tokio::fs::metadata(path).await?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut component = Vec::new();
        let file = File::open(path).await?;
        file.take(MAX_BYTES).read_to_end(&mut component).await?;
        Ok(component)
    };
    timeout(READ_TIMEOUT, reading).await?
}

/// Installs components for all tenants.
struct Installation<'a> {
    engine: &'a Engine,
    /// The tenants, each with the revisions that it has.
    tenants: Vec<(TenantId, Vec<Digest>)>,
    installed: usize,
    /// Why a component could not be installed now.
    unavailable: Option<Error>,
}

impl<'a> Installation<'a> {
    async fn begin(engine: &'a Engine) -> Result<Self> {
        let mut tenants = Vec::new();
        for tenant in engine.store().tenants().await? {
            let revisions = engine.store().revisions(tenant.id).await?;
            let installed_digests: Vec<Digest> = revisions
                .iter()
                .map(|revision| revision.stored.digest)
                .collect();
            tenants.push((tenant.id, installed_digests));
        }
        Ok(Self {
            engine,
            tenants,
            installed: 0,
            unavailable: None,
        })
    }

    fn finish(self) -> Result<usize> {
        match self.unavailable {
            Some(error) => Err(error),
            None => Ok(self.installed),
        }
    }

    async fn install(&mut self, path: &Path, component: Bytes) {
        let engine = self.engine;
        let digest = Digest::of(&component);
        let missing = self
            .tenants
            .iter()
            .filter(|(_, installed_digests)| !installed_digests.contains(&digest));
        let missing: Vec<TenantId> = missing.map(|(tenant, _)| *tenant).collect();
        if missing.is_empty() {
            return;
        }
        let inspection = match inspect(engine, &component).await {
            Ok(inspection) => inspection,
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(path = %path.display(), error = %chain(&error), "component not inspected");
                self.unavailable = Some(error);
                return;
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component rejected");
                return;
            }
        };
        let plugin = &inspection.description.name;
        if !engine.plugins.built_ins().allow(plugin, digest) {
            let (path, reason) = (path.display(), reserved_name(plugin));
            tracing::error!(%path, reason, "component not installed");
            return;
        }
        let origin = if plugin.is_built_in() {
            Origin::BuiltIn
        } else {
            Origin::Folder
        };
        for tenant in missing {
            let ctx = engine.trusted_ctx::<Publisher>(tenant, Actor::server());
            match store_component(
                &ctx,
                engine.store(),
                &engine.files,
                component.clone(),
                inspection.clone(),
                origin,
            )
            .await
            {
                Ok(()) => self.installed += 1,
                // The database or the file is not ready, whatever the component is.
                Err(error @ Error::Unavailable { .. }) => {
                    self.unavailable = Some(error);
                    return;
                }
                Err(error) => {
                    let path = path.display();
                    tracing::error!(error = %chain(&error), %path, %tenant, "component not installed");
                }
            }
        }
    }
}

async fn inspect(engine: &Engine, component: &Bytes) -> Result<Inspection> {
    let inspecting = engine.plugins.inspect(None, component);
    timeout(INSPECTION_TIMEOUT, inspecting).await.map_err(|_| {
        Error::unavailable(format!(
            "the inspection took longer than {INSPECTION_TIMEOUT:?}"
        ))
    })?
}

/// The components of a folder, ordered by name, so that every server installs them in the same order.
async fn components(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::internal("read components folder", error);
    let mut entries = tokio::fs::read_dir(folder).await.map_err(failed)?;
    let mut paths = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
