//! A temporary PostgreSQL cluster on a free port of loopback, which ends with this process.

mod binaries;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{env, process, thread};

use anyhow::{Context, Result, bail};
use tidegate_slow_disk::{SlowDisk, SyncDelay};

use crate::shell;
use binaries::Binaries;

/// Names a PostgreSQL server on which tests may create databases.
pub(crate) const VARIABLE: &str = "TIDEGATE_TEST_POSTGRES";

/// Whether commits survive a crash of the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Durability {
    /// Commits do not wait for the disk: right for tests.
    None,
    /// Commits wait for the disk, as in production: right for measurements.
    Fsync,
    /// Commits wait for a disk whose syncs take longer.
    SlowFsync(SyncDelay),
}

impl Durability {
    /// Commits that wait for the disk, which may be slow.
    pub(crate) fn on_disk(delay: Option<SyncDelay>) -> Self {
        delay.map_or(Self::Fsync, Self::SlowFsync)
    }
}

/// A running cluster. It is stopped and deleted when this is dropped, and also when this process
/// ends by a panic, Ctrl-C or `kill -9`.
pub(crate) struct Cluster {
    url: String,
    guard: ClusterGuard,
    slow_disk: Option<SlowDisk>,
}

impl Cluster {
    /// Creates and starts a cluster, which takes about a second. Installs PostgreSQL if it is
    /// missing and may be installed.
    pub(crate) fn start(durability: Durability) -> Result<Self> {
        let binaries = Binaries::find_or_install()?;
        let folder = create_folder(&binaries)?;
        let guard = ClusterGuard::spawn(&binaries, &folder)?;
        let data = folder.join("data");
        shell::output(
            binaries
                .command("initdb", &folder)
                .args(["--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"])
                .args(["-U", "postgres", "-D"])
                .arg(&data),
        )?;
        let slow_disk = match durability {
            Durability::SlowFsync(delay) => Some(SlowDisk::build(&folder, delay)?),
            Durability::None | Durability::Fsync => None,
        };
        let port = start_server(&binaries, &folder, durability, slow_disk.as_ref())?;
        Ok(Self {
            url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            guard,
            slow_disk,
        })
    }

    /// A cluster for tests; `None` if the environment names a server for them.
    pub(crate) fn start_unless_configured() -> Result<Option<Self>> {
        match env::var_os(VARIABLE) {
            Some(_) => Ok(None),
            None => Self::start(Durability::None).map(Some),
        }
    }

    /// The URL of the cluster's first database, with a user who may create databases.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs a program on the same disk as the cluster, if that is slow.
    pub(crate) fn share_slow_disk(&self, command: &mut Command) {
        if let Some(slow_disk) = &self.slow_disk {
            slow_disk.apply_to(command);
        }
    }

    /// Blocks until this process is killed.
    pub(crate) fn park(self) -> ! {
        let Self {
            url: _,
            guard: _keeper,
            slow_disk: _,
        } = self;
        loop {
            thread::park();
        }
    }
}

/// Starts the server on a free port; tries another one if the port was taken meanwhile.
fn start_server(
    binaries: &Binaries,
    folder: &Path,
    durability: Durability,
    slow_disk: Option<&SlowDisk>,
) -> Result<u16> {
    let log = folder.join("log");
    let mut failure = None;
    for _ in 0..5 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut start = binaries.command("pg_ctl", folder);
        start
            .args(["start", "--wait", "--timeout=60", "-D"])
            .arg(folder.join("data"))
            .arg("-l")
            .arg(&log)
            .arg("-o")
            .arg(server_options(port, durability));
        if let Some(slow_disk) = slow_disk {
            slow_disk.apply_to(&mut start);
        }
        match shell::output(&mut start) {
            Ok(_) => return Ok(port),
            Err(error) => failure = Some(error),
        }
    }
    let log_text = fs::read_to_string(&log).unwrap_or_default();
    Err(failure.map_or_else(
        || anyhow::anyhow!("no attempt was made"),
        |error| error.context(log_text),
    ))
    .context("start a temporary PostgreSQL")
}

/// TCP only: the path of a Unix socket would have to be short, and its directory accessible.
fn server_options(port: u16, durability: Durability) -> String {
    let durable = match durability {
        Durability::None => "-c fsync=off -c synchronous_commit=off -c full_page_writes=off",
        Durability::Fsync | Durability::SlowFsync(_) => "-c fsync=on -c synchronous_commit=on",
    };
    format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
         -c max_connections=200 {durable}"
    )
}

/// Creates a directory for the user that runs the server. Not below `target`, because that user may
/// not have access to the checkout.
fn create_folder(binaries: &Binaries) -> Result<PathBuf> {
    for attempt in 0..100 {
        let name = format!("tidegate-postgres-{}-{attempt}", process::id());
        let folder = env::temp_dir().join(name);
        match fs::create_dir(&folder) {
            Ok(()) => {
                binaries.set_owner(&folder)?;
                return Ok(folder);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("create {}", folder.display()));
            }
        }
    }
    bail!(
        "too many directories tidegate-postgres-* in {}",
        env::temp_dir().display()
    )
}

/// A process that outlives this one until it has stopped the server and removed its files. It waits
/// for the end of a pipe that only this process holds open, which the kernel closes however this
/// process ends.
struct ClusterGuard {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl ClusterGuard {
    fn spawn(binaries: &Binaries, folder: &Path) -> Result<Self> {
        const SCRIPT: &str = r#"
            trap "" HUP INT TERM
            cat
            "$@" stop --mode=immediate -D "$FOLDER/data"
            rm -rf "$FOLDER"
        "#;
        let stop = binaries.command("pg_ctl", folder);
        let mut process = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(stop.get_program())
            .args(stop.get_args())
            .env("FOLDER", folder)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start sh, which stops the temporary PostgreSQL")?;
        let pipe = process.stdin.take();
        Ok(Self { process, pipe })
    }
}

impl Drop for ClusterGuard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Nothing can be done here if this fails.
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_selects_fsync() {
        assert!(server_options(1, Durability::on_disk(None)).contains("fsync=on"));
        let slow = Durability::on_disk("4".parse().ok());
        assert!(server_options(1, slow).contains("fsync=on"));
        assert!(server_options(1, Durability::None).contains("fsync=off"));
    }
}
