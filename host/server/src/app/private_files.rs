//! Only the server's user can read what the server stores: secrets, devices, firmware.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::{fs::Mode, process::umask};
use tidegate_engine::chain;

use crate::{config::Config, secret};

use super::data_folder;

/// Permissions of the group and of others.
const OTHER_USERS: u32 = 0o077;
/// Permission of others to read. The group is trusted: it can be one that exists to share a secret.
const OTHERS_READ: u32 = 0o004;

/// What the server makes in its data folder. The content of a folder is as private as the folder.
const STORED: [&str; 10] = [
    secret::FILE,
    data_folder::LOCK,
    "tidegate.db",
    "tidegate.db-wal",
    "tidegate.db-shm",
    "artifacts",
    "artifacts/incoming",
    "artifacts/lock",
    "artifacts/sha256",
    "compiled",
];

/// Folders whose content a backup can have restored with other permissions.
const STORED_FOLDERS: [&str; 2] = ["compiled", "artifacts"];
/// Maximum number of files and folders in these whose permissions are read at a start, which must not take long on a
/// slow disk either. The permissions of the folder keep other users from the rest.
const MAX_RESTORED: usize = 5000;

/// Files and folders that this process creates from now on are private, whatever umask it was started with.
pub(crate) fn create_private_files() {
    umask(Mode::from_raw_mode(OTHER_USERS));
}

/// Takes the permissions of other users from what the server has stored in its data folder, such as copies of a backup.
/// The folder itself stays as it is.
pub(super) fn make_private(config: &Config) {
    for name in STORED {
        let path = config.data_dir.join(name);
        make_file_private(&path);
    }
    // A link leads to what the server has not made, such as a secret that Kubernetes mounts.
    let secret = config.data_dir.join(secret::FILE);
    warn_of_readable([secret].into_iter().filter(|path| path.is_symlink()));
}

/// Warns of secrets in files that the configuration names. They are not the server's, so it does not change them, and
/// Kubernetes mounts them readable by all.
pub(super) fn warn_of_readable_secrets(config: &Config) {
    warn_of_readable(config.secret_files().map(Path::to_owned));
}

/// Does the same in the folders that [`make_private`] has made private, for as many files as a start has time for.
pub(super) fn make_content_private(config: &Config) {
    let mut left = MAX_RESTORED;
    for name in STORED_FOLDERS {
        let folder = config.data_dir.join(name);
        // One warning is enough: what refuses this for a file refuses it for the others.
        if let Err(error) = take_permissions_below(&folder, &mut left) {
            warn_of_failure(&folder, &error);
        }
    }
}

fn warn_of_readable(paths: impl Iterator<Item = PathBuf>) {
    for path in paths {
        // What cannot be read fails where it is needed.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.permissions().mode() & OTHERS_READ != 0 {
            tracing::warn!(path = %path.display(), "a secret can be read by all users of this machine");
        }
    }
}

/// Takes the permissions of other users from a file. The server runs without that, as on a file system without owners.
fn make_file_private(path: &Path) {
    if let Err(error) = take_permissions(path) {
        warn_of_failure(path, &error);
    }
}

fn warn_of_failure(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), error = %chain(error), "cannot make a stored file private");
}

/// Follows no link: it leads to what the server has not made.
fn take_permissions_below(folder: &Path, left: &mut usize) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(()),
    }
    for entry in fs::read_dir(folder)? {
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        let path = entry?.path();
        take_permissions(&path)?;
        take_permissions_below(&path, left)?;
    }
    Ok(())
}

fn take_permissions(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mode = metadata.permissions().mode();
    if metadata.is_symlink() || mode & OTHER_USERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHER_USERS))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use anyhow::Result;
    use tidegate_captured_log::CapturedLog;

    use super::*;

    const READABLE: &str = "a secret can be read by all users of this machine";
    const NOT_PRIVATE: &str = "cannot make a stored file private";

    fn mode(path: &Path) -> Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    }

    fn write(path: &Path, mode: u32) -> Result<()> {
        fs::write(path, "x")?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    fn config(data_dir: &Path) -> Config {
        Config {
            data_dir: data_dir.to_owned(),
            ..Config::default()
        }
    }

    #[test]
    fn stored_files_become_private_and_the_folder_stays_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("artifacts/sha256"))?;
        for (name, mode) in [
            ("auth-secret", 0o644),
            ("tidegate.db", 0o666),
            ("notes", 0o644),
        ] {
            write(&data.join(name), mode)?;
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
        fs::set_permissions(data.join("artifacts"), fs::Permissions::from_mode(0o777))?;
        let log = CapturedLog::start();
        make_private(&config(&data));
        for (name, expected) in [
            ("auth-secret", 0o600),
            ("tidegate.db", 0o600),
            ("artifacts", 0o700),
            ("notes", 0o644),
            ("", 0o755),
        ] {
            assert_eq!(mode(&data.join(name))?, expected, "{name}");
        }
        assert_eq!(log.events(NOT_PRIVATE).len(), 0);
        Ok(())
    }

    #[test]
    fn a_file_that_cannot_be_made_private_is_a_warning() -> Result<()> {
        // Root may change the permissions of all files, but the kernel lets no user change these.
        let file = Path::new("/proc/self/status");
        assert_ne!(mode(file)? & OTHER_USERS, 0);
        let log = CapturedLog::start();
        make_file_private(file);
        let events = log.events(NOT_PRIVATE);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["level"], "WARN");
        assert_eq!(events[0]["path"], file.display().to_string());
        let error = events[0]["error"].as_str().unwrap_or_default();
        assert!(error.contains("not permitted"), "{error}");
        Ok(())
    }

    #[test]
    fn the_content_of_stored_folders_becomes_private_but_not_what_links_lead_to() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("artifacts/sha256/ab"))?;
        fs::create_dir_all(data.join("notes"))?;
        fs::create_dir(data.join("compiled"))?;
        let mounted = folder.path().join("mounted");
        fs::create_dir(&mounted)?;
        let files = [
            (data.join("artifacts/sha256/ab/file"), 0o600),
            (data.join("compiled/code"), 0o600),
            (data.join("notes/note"), 0o644),
            (mounted.join("file"), 0o644),
        ];
        for (file, _) in &files {
            write(file, 0o644)?;
        }
        let inner = data.join("artifacts/sha256/ab");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755))?;
        symlink(&mounted, data.join("artifacts/link"))?;
        let log = CapturedLog::start();
        make_content_private(&config(&data));
        for (file, expected) in &files {
            assert_eq!(mode(file)?, *expected, "{}", file.display());
        }
        assert_eq!(mode(&inner)?, 0o700);
        assert_eq!(log.events(NOT_PRIVATE).len(), 0);
        Ok(())
    }

    #[test]
    fn a_start_reads_a_limited_number_of_permissions_and_the_folder_bars_others() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let compiled = folder.path().join("compiled");
        fs::create_dir(&compiled)?;
        fs::set_permissions(&compiled, fs::Permissions::from_mode(0o755))?;
        for number in 0..5 {
            write(&compiled.join(number.to_string()), 0o644)?;
        }
        make_private(&config(folder.path()));
        take_permissions_below(&compiled, &mut 3)?;
        let mut modes = Vec::new();
        for number in 0..5 {
            modes.push(mode(&compiled.join(number.to_string()))?);
        }
        assert_eq!(modes.iter().filter(|mode| **mode == 0o600).count(), 3);
        assert_eq!(mode(&compiled)?, 0o700);
        Ok(())
    }

    #[test]
    fn a_named_secret_that_others_can_read_is_a_warning_and_stays_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mounted = folder.path().join("..data");
        let (shared, private) = (folder.path().join("key.pem"), folder.path().join("own.pem"));
        write(&mounted, 0o644)?;
        symlink(&mounted, &shared)?;
        write(&private, 0o640)?;
        for (key, warnings) in [(&shared, 1), (&private, 0)] {
            let log = CapturedLog::start();
            let mut config = config(folder.path());
            config.tls.key = Some(key.clone());
            warn_of_readable_secrets(&config);
            assert_eq!(log.events(READABLE).len(), warnings, "{}", key.display());
        }
        assert_eq!((mode(&mounted)?, mode(&private)?), (0o644, 0o640));
        Ok(())
    }

    #[test]
    fn a_mounted_secret_in_the_data_folder_is_a_warning_and_stays_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (data, mounted) = (folder.path().join("data"), folder.path().join("mounted"));
        fs::create_dir(&data)?;
        write(&mounted, 0o644)?;
        symlink(&mounted, data.join("auth-secret"))?;
        let log = CapturedLog::start();
        make_private(&config(&data));
        assert_eq!(log.events(READABLE).len(), 1);
        assert_eq!(mode(&mounted)?, 0o644);
        Ok(())
    }
}
