use std::{
    env,
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

const FILLER: &str = "filler";

/// A file system of its own with little space, in memory.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts a file system of this size. None if mounting is not permitted: prints that the test is skipped. In continuous
    /// integration that is an error.
    pub fn mount(bytes: u64) -> io::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Ok(Some(Self { folder }));
        }
        skip("mounting a tmpfs is not permitted; run the tests as root")
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Uses all free space but this many bytes.
    pub fn fill(&self, free_bytes: u64) -> io::Result<()> {
        let mut filler = File::create(self.filler())?;
        let block = [1; 4096];
        loop {
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        let bytes = filler.metadata()?.len();
        filler.set_len(bytes.saturating_sub(free_bytes))
    }

    /// Frees what [`Self::fill`] used.
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.path().join(FILLER)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Open files of the test may outlive it, so the mount point is only detached.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

/// The result of a test that cannot run here: prints that it is skipped. In continuous integration that is an error.
#[expect(clippy::print_stderr, reason = "shows in the test output")]
pub(crate) fn skip<T>(why: &str) -> io::Result<Option<T>> {
    if env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(io::Error::other(why));
    }
    eprintln!("SKIPPED on a full disk: {why}");
    Ok(None)
}
