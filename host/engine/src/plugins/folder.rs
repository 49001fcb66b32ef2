use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidegate_core::id::TenantId;
use tokio::time::sleep;

use super::{
    component_files::{self, FileStamp},
    installation::{ComponentOutcome, Installation},
};
use crate::{Engine, Error, Result, chain, ports::PluginFiles};

/// Time between two scans of the folder.
const SCAN_PERIOD: Duration = Duration::from_secs(2);
/// Maximum time between two scans while the folder cannot be read, or a component cannot be installed.
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Installs the components of a folder (`*.wasm`) once, for every tenant, after a tenant was created. Revisions that a
/// tenant has already are not inspected again. A component that is rejected or cannot be read is logged and skipped.
/// Returns the number of installed revisions, or the error of one that could not be installed now, after all others are
/// installed.
pub async fn install_folder(engine: &Engine, folder: &Path) -> Result<usize> {
    let mut installation = Installation::begin(engine).await?;
    for path in list(folder).await? {
        installation.install_file(&path).await;
    }
    installation.finish()
}

/// Watches the folder of plugins while the server runs, and installs what is put into it.
pub async fn watch_folder_loop(engine: Arc<Engine>, folder: PathBuf) {
    // An inspection has time limits of its own.
    let heartbeat = engine
        .health()
        .register_loop("folder of plugins", Duration::MAX);
    let mut folder = PluginFolder::new(folder);
    let mut delay = SCAN_PERIOD;
    loop {
        match heartbeat.run(folder.scan(&engine)).await {
            Ok(()) => delay = SCAN_PERIOD,
            Err(error) => {
                delay = (delay * 2).min(MAX_RETRY_DELAY);
                tracing::warn!(error = %chain(&error), folder = %folder.path.display(), retry_in = ?delay,
                    "components not installed; retrying");
            }
        }
        sleep(delay).await;
    }
}

/// The folder of plugins, as the last scan found it.
pub struct PluginFolder {
    path: PathBuf,
    files: BTreeMap<PathBuf, PluginFile>,
    /// The tenants that have its plugins.
    tenants: Vec<TenantId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct PluginFile {
    stamp: Option<FileStamp>,
    state: FileState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FileState {
    /// It is new or has changed: it may still be written.
    Changed,
    /// It was unchanged at two scans.
    Stable,
    /// The outcome of its installation.
    Done(ComponentOutcome),
}

impl PluginFolder {
    /// A folder that was not scanned yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            files: BTreeMap::new(),
            tenants: Vec::new(),
        }
    }

    /// Installs the components that are new or have changed, and were unchanged at two scans. For a new tenant all are
    /// installed. A file that was removed removes nothing: campaigns may use its plugin. The error is that of a component
    /// that could not be installed now, after all others are installed; the next scan retries it.
    pub async fn scan(&mut self, engine: &Engine) -> Result<()> {
        let mut files = BTreeMap::new();
        for path in list(&self.path).await? {
            let stamp = component_files::stamp(&path).await;
            let state = match self.files.get(&path) {
                Some(file) if file.stamp == stamp => match file.state {
                    FileState::Changed | FileState::Done(ComponentOutcome::Unavailable) => {
                        FileState::Stable
                    }
                    state => state,
                },
                _ => FileState::Changed,
            };
            files.insert(path, PluginFile { stamp, state });
        }
        self.files = files;
        let tenants = engine.store().tenants().await?;
        let tenants: Vec<_> = tenants.iter().map(|tenant| tenant.id).collect();
        if tenants != self.tenants {
            for file in self.files.values_mut() {
                if matches!(file.state, FileState::Done(_)) {
                    file.state = FileState::Stable;
                }
            }
        }
        let installed = self.install_stable(engine).await;
        self.report(engine);
        self.tenants = tenants;
        installed
    }

    async fn install_stable(&mut self, engine: &Engine) -> Result<()> {
        let is_stable = |file: &PluginFile| file.state == FileState::Stable;
        if !self.files.values().any(is_stable) {
            return Ok(());
        }
        let mut installation = Installation::begin(engine).await?;
        for (path, file) in &mut self.files {
            if file.state == FileState::Stable {
                let outcome = installation.install_file(path).await;
                let was_changed = component_files::stamp(path).await != file.stamp;
                file.state = if was_changed {
                    FileState::Changed
                } else {
                    FileState::Done(outcome)
                };
            }
        }
        let installed = installation.finish()?;
        tracing::info!(installed, folder = %self.path.display(), "components installed");
        Ok(())
    }

    fn report(&self, engine: &Engine) {
        let mut files = PluginFiles::default();
        for file in self.files.values() {
            match file.state {
                FileState::Done(ComponentOutcome::Installed) => files.installed += 1,
                FileState::Done(ComponentOutcome::Refused) => files.refused += 1,
                FileState::Changed
                | FileState::Stable
                | FileState::Done(ComponentOutcome::Unavailable) => files.waiting += 1,
            }
        }
        engine.ports.observer.plugin_folder_scanned(files);
    }
}

async fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = component_files::list(folder).await;
    paths.map_err(|error| Error::internal("read components folder", error))
}
