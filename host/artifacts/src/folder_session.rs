use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Folder of incomplete files.
pub(crate) const INCOMING: &str = "incoming";

/// An open artifact folder with a subfolder for the incomplete files of this process.
pub(crate) struct FolderSession {
    pub(crate) root: PathBuf,
    /// Name of the subfolder of [`INCOMING`].
    pub(crate) name: String,
    /// Shared lock, held by every process that uses the folder. The system releases it when the process ends.
    pub(crate) lock: File,
}

/// Opens or creates the folder, removes leftovers of crashed processes, and creates the subfolder.
pub(crate) fn open_session(root: &Path) -> io::Result<FolderSession> {
    let incoming = root.join(INCOMING);
    fs::create_dir_all(&incoming)?;
    let mut options = OpenOptions::new();
    let lock = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("lock"))?;
    match lock.try_lock() {
        // No other process uses the folder, so all incomplete files are leftovers.
        Ok(()) => {
            fs::remove_dir_all(&incoming)?;
            fs::create_dir_all(&incoming)?;
            lock.unlock()?;
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    lock.lock_shared()?;
    Ok(FolderSession {
        root: root.to_owned(),
        name: create_session(&incoming)?,
        lock,
    })
}

/// Creates the first unused subfolder. Creation is atomic, so no two processes share one.
fn create_session(incoming: &Path) -> io::Result<String> {
    let mut number = 0_u32;
    loop {
        let name = number.to_string();
        match fs::create_dir(incoming.join(&name)) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}
