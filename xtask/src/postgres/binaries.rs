//! PostgreSQL's programs, and the user that runs them: they refuse to run as root.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{debian, shell};

const PACKAGE_USER: &str = "postgres";

/// A directory with `initdb` and `pg_ctl`, and the user that runs them.
pub(super) struct Binaries {
    folder: PathBuf,
    user: Option<&'static str>,
}

impl Binaries {
    /// The newest PostgreSQL of this machine; installs Debian's if there is none.
    pub(super) fn find_or_install() -> Result<Self> {
        let folder = match newest() {
            Some(folder) => folder,
            None if debian::may_install() => {
                debian::install(&["postgresql"], "the tests run on PostgreSQL too")?;
                newest().context("Debian's package postgresql brought no initdb")?
            }
            None => bail!(
                "PostgreSQL is not installed: install your system's package (on Debian \
                 `apt-get install postgresql`), or set {} to a server for tests",
                super::VARIABLE
            ),
        };
        let user = debian::is_root().then_some(PACKAGE_USER);
        Ok(Self { folder, user })
    }

    /// A command of one of the programs, run in a directory that its user can read.
    pub(super) fn command(&self, program: &str, folder: &Path) -> Command {
        let program = self.folder.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={user}"))
                    .args(["--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        command.current_dir(folder);
        command
    }

    /// Makes the user the owner of a directory, and grants access to no other user.
    pub(super) fn set_owner(&self, folder: &Path) -> Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        if let Some(user) = self.user {
            let id = |flag: &str| -> Result<u32> {
                Ok(shell::output(Command::new("id").args([flag, user]))?.parse()?)
            };
            let (uid, gid) = (id("-u")?, id("-g")?);
            chown(folder, Some(uid), Some(gid))
                .with_context(|| format!("change the owner of {} to {user}", folder.display()))?;
        }
        Ok(())
    }
}

/// Debian has a directory for each major version; elsewhere the programs are in the PATH.
fn newest() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let versions = debian.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let packaged = versions
        .filter(|(_, bin)| is_complete(bin))
        .max_by_key(|(version, _)| *version);
    packaged
        .map(|(_, bin)| bin)
        .or_else(|| env::split_paths(&env::var_os("PATH")?).find(|folder| is_complete(folder)))
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| folder.join(program).exists())
}
