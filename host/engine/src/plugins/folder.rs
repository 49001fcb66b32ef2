use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::Origin,
};
use tokio::{fs::File, io::AsyncReadExt as _, time::timeout};

use super::upload::{reserved_name, store_component};
use crate::{Actor, Engine, Error, Publisher, Result, chain, ports::Inspection};

/// Maximum size of a component that is read: the largest limit that an operator can set, and a byte to exceed it.
const MAX_BYTES: u64 = (32 << 20) + 1;
/// Maximum time to read a component, which may be on a disk that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time to inspect a component. Each step of the inspection has a limit of its own; this one holds for what they
/// overlook.
const INSPECTION_TIMEOUT: Duration = Duration::from_mins(3);

/// Installs the components of a folder (`*.wasm`) for every tenant, at every start and after a tenant was created.
/// Revisions that a tenant has already are not inspected again. A component that is rejected, cannot be read or takes too
/// long is logged and skipped, so that it does not prevent the start. Returns the number of installed revisions.
pub async fn install_folder(engine: &Engine, folder: &Path) -> Result<usize> {
    let mut tenants = Vec::new();
    for tenant in engine.store().tenants().await? {
        let revisions = engine.store().revisions(tenant.id).await?;
        let installed_digests: Vec<Digest> = revisions
            .iter()
            .map(|revision| revision.stored.digest)
            .collect();
        tenants.push((tenant.id, installed_digests));
    }
    let mut installed = 0;
    for path in components(folder)
        .await
        .map_err(|error| Error::internal("read components folder", error))?
    {
        match read(&path).await {
            Ok(component) => {
                installed += install(engine, &tenants, &path, component.into()).await?;
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component cannot be read");
            }
        }
    }
    Ok(installed)
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

async fn install(
    engine: &Engine,
    tenants: &[(TenantId, Vec<Digest>)],
    path: &Path,
    component: Bytes,
) -> Result<usize> {
    let digest = Digest::of(&component);
    let missing = tenants
        .iter()
        .filter(|(_, installed_digests)| !installed_digests.contains(&digest));
    let missing: Vec<TenantId> = missing.map(|(tenant, _)| *tenant).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let inspection = match inspect(engine, &component).await {
        Ok(inspection) => inspection,
        Err(error) => {
            tracing::error!(path = %path.display(), error = %chain(&error), "component rejected");
            return Ok(0);
        }
    };
    let plugin = &inspection.description.name;
    let origin = match engine.plugins.built_ins().digest(plugin) {
        None => Origin::Folder,
        Some(built_in) if built_in == digest => Origin::BuiltIn,
        Some(_) => {
            let (path, reason) = (path.display(), reserved_name(plugin));
            tracing::error!(%path, reason, "component not installed");
            return Ok(0);
        }
    };
    let mut installed = 0;
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
            Ok(()) => installed += 1,
            // The database is not ready, whatever the component is.
            Err(error @ Error::Unavailable { .. }) => return Err(error),
            Err(error) => {
                let path = path.display();
                tracing::error!(error = %chain(&error), %path, %tenant, "component not installed");
            }
        }
    }
    Ok(installed)
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
async fn components(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    let mut paths = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
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
