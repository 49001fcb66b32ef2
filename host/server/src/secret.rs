//! The key that signs bearer tokens, if none is configured.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use tidegate_engine::ports::Entropy;

/// Its file in the data folder.
pub(crate) const FILE: &str = "auth-secret";

/// Minimum size of the key: a shorter one can be guessed, and with it every token forged.
pub(crate) const MIN_SECRET_BYTES: usize = 32;

/// Reads the secret from the data folder; generates and stores it at the first start.
pub(crate) fn read_or_generate(data_dir: &Path, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    let path = data_dir.join(FILE);
    match generate(&path, entropy) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path),
        Err(error) => Err(error).with_context(|| format!("write {}", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let secret = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if secret.len() < MIN_SECRET_BYTES {
        bail!(
            "{} has {} bytes, but needs at least {MIN_SECRET_BYTES}: copy it from the backup again, or delete it, so that \
             the next start makes a new one (bearer tokens that the old one signed stop working)",
            path.display(),
            secret.len()
        );
    }
    Ok(secret)
}

fn generate(path: &Path, entropy: &dyn Entropy) -> std::io::Result<Vec<u8>> {
    let mut secret = vec![0; MIN_SECRET_BYTES];
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
    #[test]
    fn a_secret_that_can_be_guessed_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(FILE);
        for size in [0, 1, 31] {
            fs::write(&path, vec![7; size])?;
            let error = read_or_generate(folder.path(), &SystemEntropy).expect_err("too short");
            let error = error.to_string();
            for part in [
                &*path.to_string_lossy(),
                &format!("has {size} bytes"),
                "delete it",
            ] {
                assert!(error.contains(part), "{error}");
            }
            assert_eq!(fs::read(&path)?.len(), size, "it is not replaced");
        }
        fs::write(&path, [7; 32])?;
        assert_eq!(
            read_or_generate(folder.path(), &SystemEntropy)?,
            vec![7; 32]
        );
        Ok(())
    }
}
