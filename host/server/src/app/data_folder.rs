//! The folder that a server keeps its data in.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
};

use anyhow::{Context as _, Result, bail};

use crate::config::Config;

const LOCK: &str = "serve.lock";

/// Makes the folder when it is not there. It holds secrets, so nobody else may look into it.
pub(super) fn create(config: &Config) -> Result<()> {
    let folder = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make the data folder {}", folder.display()))
}

/// Keeps other servers out of the folder for as long as the file is open: two on one SQLite database would not hear of
/// each other's changes, and let devices in whose token was revoked.
pub(super) fn lock(config: &Config) -> Result<File> {
    let path = config.data_dir.join(LOCK);
    let file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another server runs on the data folder {}: stop it first, or name another `--data-dir`",
            config.data_dir.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let config = Config {
            data_dir: folder.path().join("data"),
            ..Config::default()
        };
        create(&config)?;
        create(&config)?;
        let first = lock(&config)?;
        let refused = lock(&config).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|why| why.contains("another server runs")));
        drop(first);
        lock(&config).map(drop)
    }
}
