use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::Origin,
};

use super::upload::{reserved_name, store_component};
use crate::{Actor, Engine, Error, Publisher, Result, chain};

/// Installs the components of a folder (`*.wasm`) for every tenant, at every start and after a tenant was created.
/// Revisions that a tenant has already are not inspected again. A rejected component is logged and skipped, so that it
/// does not prevent the start. Returns the number of installed revisions.
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
        let component = tokio::fs::read(&path).await;
        let component = component.map_err(|error| Error::internal("read component", error))?;
        installed += install(engine, &tenants, &path, component.into()).await?;
    }
    Ok(installed)
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
    let inspection = match engine.plugins.inspect(None, &component).await {
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
            Err(error @ Error::Conflict { .. }) => {
                let path = path.display();
                tracing::error!(error = %chain(&error), %path, %tenant, "component not installed");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(installed)
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
