//! The server's data folder.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
};

use anyhow::{Context as _, Result, bail};

use crate::config::Config;

/// Its file that a running server locks.
pub(super) const LOCK: &str = "serve.lock";

/// Creates the folder if it does not exist. Only its owner can read it, because it contains secrets.
pub(super) fn create(config: &Config) -> Result<()> {
    let folder = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("create the data folder {}", folder.display()))
}

/// Locks the folder for as long as the returned file is open. Two servers on one SQLite database would not notice each
/// other's changes, and would accept revoked device tokens.
pub(super) fn lock(config: &Config) -> Result<File> {
    let path = config.data_dir.join(LOCK);
    let file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another server uses the data folder {}: stop it first, or set another `--data-dir`",
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
        assert!(refused.is_some_and(|why| why.contains("another server uses")));
        drop(first);
        lock(&config).map(drop)
    }
}
