//! Where compiled code is kept, so that a component is compiled once.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// A folder of compiled code.
pub(super) enum CodeFolder {
    /// In the user's cache.
    Kept(PathBuf),
    /// Deleted at the end: the user has no cache folder that can be written.
    Temporary(TempDir),
}

impl CodeFolder {
    /// The folder in the user's cache, by the XDG Base Directory Specification. `None`: no variable names one.
    pub(super) fn kept() -> Option<Self> {
        let folder = |name| {
            let folder = env::var_os(name).map(PathBuf::from);
            folder.filter(|folder| folder.is_absolute())
        };
        let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
        Some(Self::Kept(cache.join("tidegate").join("plugins")))
    }

    pub(super) fn temporary() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-").tempdir();
        let folder = folder.context("create a temporary folder for compiled code")?;
        Ok(Self::Temporary(folder))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
