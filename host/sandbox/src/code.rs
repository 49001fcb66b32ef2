//! Compiled code: what it was compiled for, and a folder that keeps it.
//!
//! Loading code is believing it: it runs as the host does. So nothing is loaded but what this host's own compiler made
//! and this host itself stored, and a key that only it can read vouches for every file.

use std::{
    fs,
    hash::{Hash as _, Hasher},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::{TryRng as _, rngs::SysRng};
use sha2::{Digest as _, Sha256};
use tidegate_core::id::Digest;
use wasmtime::Engine;

/// Bytes of a file: more than any code has.
const MAX_FILE_BYTES: u64 = 600 << 20;
/// After this a file that is being written is written, or whoever wrote it is dead.
const STALE_PARTIAL_AGE: Duration = Duration::from_hours(1);
const MAC_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;

/// What code depends on beside its component: Wasmtime's version, the engine's configuration and the processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeKey([u8; 32]);

impl CodeKey {
    /// The key of code that this engine, which must have a compiler, makes.
    pub(crate) fn for_engine(engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hands whatever is hashed on to SHA-256: the standard hasher differs from one Rust version to the next.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the bytes are taken, not the number")
    }
}

/// A folder of code that only this host can add to.
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: CodeKey,
    secret: [u8; SECRET_BYTES],
}

impl CodeCache {
    /// Opens the folder, and makes it and its secret when they are not there.
    pub(crate) fn open(folder: &Path, key: CodeKey) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let cache = Self {
            secret: load_or_create_secret(folder)?,
            folder: folder.to_owned(),
            key,
        };
        match cache.sweep() {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed compiled code that nothing can use"),
            // It takes room and does no harm.
            Err(error) => tracing::warn!(%error, "cannot sweep the folder of compiled code"),
        }
        Ok(cache)
    }

    /// Removes code that was compiled by another version, for another processor or under another configuration, and what
    /// was never written to its end. Answers how many files that were.
    fn sweep(&self) -> io::Result<usize> {
        let current_suffix = format!("-{}.code", self.key_name());
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_unusable = if name.ends_with(".code") {
                !name.ends_with(&current_suffix)
            } else {
                name.ends_with(".partial") && is_stale(&entry)?
            };
            if is_unusable {
                match fs::remove_file(entry.path()) {
                    Ok(()) => removed += 1,
                    // Another host that starts was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(removed)
    }

    /// The code of a component. A file that is damaged, foreign or unreadable is as good as none.
    pub(crate) fn read(&self, component: Digest) -> Option<Vec<u8>> {
        let path = self.path(component);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file.take(MAX_FILE_BYTES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot open compiled code");
                return None;
            }
        };
        let mut bytes = Vec::new();
        if let Err(error) = file.read_to_end(&mut bytes) {
            tracing::warn!(path = %path.display(), %error, "cannot read compiled code");
            return None;
        }
        // What is checked is what is loaded: the bytes, and not the file once more.
        let (mac, code) = bytes.split_at_checked(MAC_BYTES)?;
        if self.mac(component, code).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "compiled code is damaged or foreign; it is made again");
            return None;
        }
        Some(bytes.split_off(MAC_BYTES))
    }

    /// Keeps the code of a component. Readers see the whole file or none.
    pub(crate) fn write(&self, component: Digest, code: &[u8]) -> io::Result<()> {
        let mac = self.mac(component, code).finalize().into_bytes();
        let partial = self.folder.join(format!("{}.partial", unique_name()?));
        let written = create_private_file(&partial)
            .and_then(|mut file| {
                file.write_all(&mac)?;
                file.write_all(code)
            })
            .and_then(|()| fs::rename(&partial, self.path(component)));
        if written.is_err() {
            // It is of no use to anybody, and the first error is the one to tell.
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn path(&self, component: Digest) -> PathBuf {
        let key = self.key_name();
        self.folder
            .join(format!("{}-{key}.code", hex::encode(component.0)))
    }

    fn key_name(&self) -> String {
        hex::encode(&self.key.0[..8])
    }

    /// Vouches for the code as that of this component on this engine: a file under another name is foreign.
    fn mac(&self, component: Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes secrets of any length");
        mac.update(&self.key.0);
        mac.update(&component.0);
        mac.update(code);
        mac
    }
}

/// Whether nobody writes it any more.
fn is_stale(file: &fs::DirEntry) -> io::Result<bool> {
    let age = file.metadata()?.modified()?.elapsed();
    // One from the future is left to grow old.
    Ok(age.is_ok_and(|age| age > STALE_PARTIAL_AGE))
}

/// The folder's secret. Several hosts may start at once on one folder: the first to link its secret wins.
fn load_or_create_secret(folder: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let path = folder.join("secret");
    loop {
        match read_secret(&path) {
            Ok(Some(secret)) => return Ok(secret),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the code cache's secret is not one; it is made again");
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut fresh = [0; SECRET_BYTES];
        SysRng
            .try_fill_bytes(&mut fresh)
            .map_err(io::Error::other)?;
        let partial = folder.join(format!("{}.partial", unique_name()?));
        create_private_file(&partial)?.write_all(&fresh)?;
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
}

/// The secret in a file; none when its length is wrong or others can read it.
fn read_secret(path: &Path) -> io::Result<Option<[u8; SECRET_BYTES]>> {
    let mut file = fs::File::open(path)?;
    let is_shared = file.metadata()?.permissions().mode() & 0o077 != 0;
    let mut bytes = Vec::new();
    (&mut file)
        .take(SECRET_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    let secret = <[u8; SECRET_BYTES]>::try_from(bytes).ok();
    Ok(secret.filter(|_| !is_shared))
}

/// A new file that only its owner can read.
fn create_private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn unique_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}
