//! The key that signs bearer tokens, if none is configured.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use tidegate_engine::ports::Entropy;

const FILE: &str = "auth-secret";

/// Reads the secret from the data folder; generates and stores it at the first start.
pub(crate) fn read_or_generate(data_dir: &Path, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    let path = data_dir.join(FILE);
    match generate(&path, entropy) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::read(&path).with_context(|| format!("read {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("write {}", path.display())),
    }
}

fn generate(path: &Path, entropy: &dyn Entropy) -> std::io::Result<Vec<u8>> {
    let mut secret = vec![0; 32];
    entropy.fill(&mut secret);
    // Written under a temporary name first, so that a second server that starts concurrently never reads a partial
    // secret.
    let partial = path.with_extension(std::process::id().to_string());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    let linked = fs::hard_link(&partial, path);
    fs::remove_file(&partial)?;
    linked.map(|()| secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system_clock::SystemEntropy;

    #[test]
    fn the_secret_is_generated_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let first = read_or_generate(folder.path(), &SystemEntropy)?;
        assert_eq!(first.len(), 32);
        assert_eq!(read_or_generate(folder.path(), &SystemEntropy)?, first);
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
