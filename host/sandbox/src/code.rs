//! Compiled code: its compatibility key, and the folder that caches it.
//!
//! Loaded code runs with the privileges of the server. So only code that this server's own compiler made and that the
//! server itself stored is loaded: every file is authenticated with a key that only the server can read.

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
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use sha2::{Digest as _, Sha256};
use tidegate_core::id::Digest;
use tidegate_engine::chain;
use wasmtime::Engine;

/// The end of the names of compiled code, and of files that are being written.
const CODE: &str = ".code";
const PARTIAL: &str = ".partial";
/// Maximum size of a file: more than any code has.
const MAX_FILE_BYTES: u64 = 600 << 20;
/// Age after which a partial file is stale: its writer has finished or crashed.
const STALE_PARTIAL_AGE: Duration = Duration::from_hours(1);
const MAC_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;

/// What code depends on besides its component: Wasmtime's version, the engine's configuration and the processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeKey([u8; 32]);

impl CodeKey {
    /// The key of the code that this engine makes. The engine must have a compiler.
    pub(crate) fn for_engine(engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Feeds `Hash` implementations to SHA-256: the standard hasher may change with the Rust version.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the SHA-256 digest is used")
    }
}

/// A folder of code to which only this server can add. The time of a file's last change is that of its last use.
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: CodeKey,
    /// Maximum size of all code, in bytes.
    max_bytes: u64,
    secret: [u8; SECRET_BYTES],
}

impl CodeCache {
    /// Opens the folder. Creates the folder and its secret if they do not exist.
    pub(crate) fn open(folder: &Path, key: CodeKey, max_bytes: u64) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let cache = Self {
            secret: load_or_create_secret(folder)?,
            folder: folder.to_owned(),
            key,
            max_bytes,
        };
        match cache.sweep() {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed unusable compiled code"),
            // Unusable files only take space.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot clean up the folder of compiled code");
            }
        }
        Ok(cache)
    }

    /// Removes stale partial files, and code that was compiled by another version, for another processor or with
    /// another configuration. Returns the number of removed files.
    fn sweep(&self) -> io::Result<usize> {
        let current_suffix = format!("-{}{CODE}", self.key_name());
        remove_files(&self.folder, |name, file| {
            if name.ends_with(CODE) {
                Ok(!name.ends_with(&current_suffix))
            } else {
                Ok(name.ends_with(PARTIAL) && is_stale(file)?)
            }
        })
    }

    /// The code of a component. None if the file is missing, unreadable or not authentic.
    pub(crate) fn read(&self, component: Digest) -> Option<Vec<u8>> {
        let path = self.path(component);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file.take(MAX_FILE_BYTES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %chain(&error), "cannot open compiled code");
                return None;
            }
        };
        let mut bytes = Vec::new();
        if let Err(error) = file.read_to_end(&mut bytes) {
            tracing::warn!(path = %path.display(), error = %chain(&error), "cannot read compiled code");
            return None;
        }
        // The verified bytes are returned. The file is not read again: it may change in between.
        let (mac, code) = bytes.split_at_checked(MAC_BYTES)?;
        if self.mac(component, code).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "compiled code is damaged or not authentic; it is compiled again");
            return None;
        }
        if let Err(error) = record_use(file.get_ref()) {
            tracing::debug!(path = %path.display(), error = %chain(&error), "cannot record the use of compiled code");
        }
        Some(bytes.split_off(MAC_BYTES))
    }

    /// Stores the code of a component, and deletes what was used least recently if all together is too large. Readers see
    /// the complete file or none.
    pub(crate) fn write(&self, component: Digest, code: &[u8]) -> io::Result<()> {
        let size = (MAC_BYTES + code.len()) as u64;
        if size > self.max_bytes {
            let message = format!(
                "its {size} bytes are more than the {} of the cache (the server's setting `sandbox.code_cache_bytes`)",
                self.max_bytes
            );
            return Err(io::Error::other(message));
        }
        self.make_room(size)?;
        let mac = self.mac(component, code).finalize().into_bytes();
        write_atomically(&self.folder, &self.path(component), &[&mac, code])
    }

    /// Deletes the code of a component, if there is some.
    pub(crate) fn remove(&self, component: Digest) -> io::Result<()> {
        match fs::remove_file(self.path(component)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes the code that was used least recently until this much can be added.
    fn make_room(&self, size: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(CODE) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total.saturating_add(size) <= self.max_bytes {
                break;
            }
            fs::remove_file(&path)?;
            total -= bytes;
            tracing::info!(path = %path.display(), "least recently used compiled code deleted");
        }
        Ok(())
    }

    fn path(&self, component: Digest) -> PathBuf {
        let key = self.key_name();
        self.folder
            .join(format!("{}-{key}{CODE}", hex::encode(component.0)))
    }

    fn key_name(&self) -> String {
        hex::encode(&self.key.0[..8])
    }

    /// Authenticates code together with its component and engine, so that a renamed file is not authentic.
    fn mac(&self, component: Digest, code: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC accepts keys of any length");
        mac.update(&self.key.0);
        mac.update(&component.0);
        mac.update(code);
        mac
    }
}

/// Marks a file as used now.
fn record_use(file: &fs::File) -> io::Result<()> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    Ok(futimens(file, &times)?)
}

/// Removes the files of a folder that are unusable, by their name and entry. Returns their number.
pub(crate) fn remove_files(
    folder: &Path,
    is_unusable: impl Fn(&str, &fs::DirEntry) -> io::Result<bool>,
) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_unusable(&entry.file_name().to_string_lossy(), &entry)? {
            match fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                // Another starting server has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

/// Writes a file of the folder, which only its owner can read. Readers see the complete file or none.
pub(crate) fn write_atomically(folder: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let partial = folder.join(format!("{}{PARTIAL}", unique_name()?));
    let written = create_private_file(&partial)
        .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// True if a partial file is no longer being written.
fn is_stale(file: &fs::DirEntry) -> io::Result<bool> {
    let age = file.metadata()?.modified()?.elapsed();
    // A file with a modification time in the future is kept until it is old.
    Ok(age.is_ok_and(|age| age > STALE_PARTIAL_AGE))
}

/// The folder's secret. If several servers start on one folder, the first to link its secret wins.
fn load_or_create_secret(folder: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let path = folder.join("secret");
    loop {
        match read_secret(&path) {
            Ok(Some(secret)) => return Ok(secret),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the secret of the code cache is invalid; it is replaced");
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut fresh = [0; SECRET_BYTES];
        SysRng
            .try_fill_bytes(&mut fresh)
            .map_err(io::Error::other)?;
        let partial = folder.join(format!("{}{PARTIAL}", unique_name()?));
        create_private_file(&partial)?.write_all(&fresh)?;
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
}

/// The secret in a file; none if its length is wrong or other users can read it.
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

/// Creates a file that only its owner can read.
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
