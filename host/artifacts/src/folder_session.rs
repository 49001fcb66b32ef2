use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Where files wait until they are whole.
pub(crate) const INCOMING: &str = "incoming";

/// A folder that is open, and a place in it that nobody else writes to.
pub(crate) struct FolderSession {
    pub(crate) root: PathBuf,
    /// A folder below [`INCOMING`].
    pub(crate) name: String,
    /// Shared by all who have the folder open. The system lets go of it when the process ends, however it ends.
    pub(crate) lock: File,
}

/// Makes the folder, sweeps what a crash left in it, and claims a place for what is half written.
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
        // Nobody else is here, so nobody is writing.
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

/// Makes the first folder that is not there yet: whoever makes it has it alone.
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
