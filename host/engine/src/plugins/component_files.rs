use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{fs::File, io::AsyncReadExt as _, time::timeout};

/// Maximum size of a component that is read: the largest limit that an operator can set, and a byte to exceed it.
const MAX_BYTES: u64 = (32 << 20) + 1;
/// Maximum time to read a component, or the entries of a folder, which may be on a disk that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The components of a folder (`*.wasm`), ordered by name, so that every server installs them in the same order.
pub(super) async fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = async {
        let mut entries = tokio::fs::read_dir(folder).await?;
        let mut paths = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "wasm") {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        Ok(paths)
    };
    timeout(READ_TIMEOUT, listing).await?
}

/// Reads a component. Opening another kind of file can hang: a pipe waits for its writer.
pub(super) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let reading = async {
        if !tokio::fs::metadata(path).await?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut component = Vec::new();
        let file = File::open(path).await?;
        file.take(MAX_BYTES).read_to_end(&mut component).await?;
        Ok(component)
    };
    timeout(READ_TIMEOUT, reading).await?
}

/// The stamp of a file; `None`: it cannot be read.
pub(super) async fn stamp(path: &Path) -> Option<FileStamp> {
    let file = timeout(READ_TIMEOUT, tokio::fs::metadata(path)).await;
    let file = file.ok()?.ok()?;
    Some(FileStamp {
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}
