use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidegate_core::id::Digest;
use tokio::time::sleep;
use tracing::Instrument as _;

use super::{component_files, installation::Installation};
use crate::{Engine, Error, Result, chain, health::task_span};

/// First delay before the installation is retried; it doubles each time.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum delay before the installation is retried.
const MAX_RETRY_DELAY: Duration = Duration::from_mins(5);

/// Installs the built-in plugins from their folder for every tenant. Devices get no updates without them, so the server
/// installs them before it serves. Each is read from the file with its name only; all other files are reported. Returns
/// the number of installed revisions, or the error of one that could not be installed now, after all others are installed.
pub async fn install_built_ins(engine: &Engine, folder: &Path) -> Result<usize> {
    if engine.plugins.built_ins().is_empty() {
        return Ok(0);
    }
    let paths = component_files::list(folder).await;
    let paths = paths.map_err(|error| Error::internal("read components folder", error))?;
    let mut installation = Installation::begin(engine).await?;
    for path in paths {
        let name = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        let Some(digest) = name.and_then(|name| engine.plugins.built_ins().digest(&name)) else {
            let (path, reason) = (
                path.display(),
                "it is no built-in plugin of this server: put it into the folder of plugins (`--plugins`)",
            );
            tracing::warn!(%path, reason, "component not installed");
            continue;
        };
        match component_files::read(&path).await {
            Ok(component) if Digest::of(&component) == digest => {
                installation.install(&path, component.into()).await;
            }
            Ok(_) => {
                let (path, reason) = (
                    path.display(),
                    "its name is reserved for a built-in plugin, and it is another component than this server was built \
                     with: build the server again, or restore the file",
                );
                tracing::error!(%path, %digest, reason, "component not installed");
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error = %chain(&error), "component cannot be read");
            }
        }
    }
    installation.finish()
}

/// Retries [`install_built_ins`] until each built-in plugin of the folder is installed or refused.
pub async fn install_built_ins_loop(engine: Arc<Engine>, folder: PathBuf) {
    let mut delay = MIN_RETRY_DELAY;
    loop {
        sleep(delay).await;
        delay = (delay * 2).min(MAX_RETRY_DELAY);
        let span = task_span("installation of built-in plugins");
        let installing = install_built_ins(&engine, &folder).instrument(span);
        match installing.await {
            Ok(installed) => {
                tracing::info!(installed, folder = %folder.display(), "built-in plugins installed");
                return;
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), folder = %folder.display(), retry_in = ?delay,
                    "built-in plugins not installed; retrying");
            }
        }
    }
}
