//! Remembers which components were rejected, so that they are not inspected again, not after a restart either.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use sha2::{Digest as _, Sha256};
use tidegate_core::id::Digest;
use tidegate_engine::chain;

use crate::{
    code::{remove_files, write_atomically},
    limits::SandboxLimits,
};

const EXTENSION: &str = ".rejected";
/// Maximum number of remembered rejections.
const MAX_REMEMBERED: usize = 1000;

/// A folder with a file for each rejected component, which contains the reason. A rejection holds for this program and
/// these limits; others inspect the component again.
#[derive(Debug, Clone)]
pub(crate) struct Rejections {
    folder: PathBuf,
    key: String,
}

impl Rejections {
    /// Opens the rejections in a folder by this program with these limits, and deletes all others.
    pub(crate) fn open(folder: &Path, limits: &SandboxLimits) -> Self {
        let rejections = Self {
            folder: folder.to_owned(),
            key: key(limits),
        };
        if let Err(error) = rejections.sweep() {
            // Unusable files only take space.
            tracing::warn!(error = %chain(&error), "cannot delete old rejections of components");
        }
        rejections
    }

    fn sweep(&self) -> io::Result<usize> {
        let current_suffix = format!("-{}{EXTENSION}", self.key);
        remove_files(&self.folder, |name, _| {
            Ok(name.ends_with(EXTENSION) && !name.ends_with(&current_suffix))
        })
    }

    /// Why a component was rejected, if it was.
    pub(crate) fn reason(&self, component: Digest) -> Option<String> {
        fs::read_to_string(self.path(component)).ok()
    }

    /// Remembers why a component was rejected.
    pub(crate) fn remember(&self, component: Digest, reason: &str) {
        let written = write_atomically(&self.folder, &self.path(component), &[reason.as_bytes()]);
        if let Err(error) = written.and_then(|()| self.forget_oldest()) {
            tracing::warn!(%component, error = %chain(&error), "rejection of a component not stored; it will be inspected again");
        }
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(EXTENSION) {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort_unstable();
        let surplus = files.len().saturating_sub(MAX_REMEMBERED);
        files
            .iter()
            .take(surplus)
            .try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, component: Digest) -> PathBuf {
        let digits = hex::encode(component.0);
        self.folder
            .join(format!("{digits}-{}{EXTENSION}", self.key))
    }
}

/// What a rejection depends on besides the component: the program, by its time and size, and the limits.
fn key(limits: &SandboxLimits) -> String {
    let program =
        fs::metadata("/proc/self/exe").and_then(|file| Ok((file.modified()?, file.len())));
    let program = program.map_or((0, 0), |(modified, size)| {
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_nanos(), size)
    });
    let digest = Sha256::digest(format!("{program:?} {limits:?}"));
    hex::encode(&digest[..8])
}
