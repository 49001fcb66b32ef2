use std::{
    env, fs,
    io::{self, Error},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{SmallDisk, small_disk::skip};

/// A PostgreSQL server refuses to run as root.
const USER: &str = "postgres";
/// The log of changes has a disk of its own: the server survives a full disk of the data, and not of the log.
const LOG_BYTES: u64 = 256 << 20;

/// A PostgreSQL server whose data is on a small disk. It ends when this is dropped.
pub struct SmallPostgres {
    /// The disk of the data.
    pub disk: SmallDisk,
    log_disk: SmallDisk,
    bin: PathBuf,
    url: String,
}

impl SmallPostgres {
    /// Starts a server whose data has this much space. None if PostgreSQL is not installed or mounting is not permitted:
    /// prints that the test is skipped. In continuous integration that is an error.
    pub fn start(bytes: u64) -> io::Result<Option<Self>> {
        let Some(bin) = newest() else {
            return skip("PostgreSQL is not installed");
        };
        let Some(disk) = SmallDisk::mount(bytes)? else {
            return Ok(None);
        };
        let Some(log_disk) = SmallDisk::mount(LOG_BYTES)? else {
            return Ok(None);
        };
        let mut server = Self {
            disk,
            log_disk,
            bin,
            url: String::new(),
        };
        server.initialize()?;
        let mut failure = None;
        // The port may be taken by another process in the meantime.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            match server.run(port) {
                Ok(()) => {
                    server.url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
                    return Ok(Some(server));
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::other("no attempt was made")))
    }

    /// The URL of its database.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn initialize(&self) -> io::Result<()> {
        let mut initdb = self.command("initdb")?;
        initdb
            .args(["--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"])
            .args(["-U", USER, "--waldir"])
            .arg(self.log_disk.path().join("wal"))
            .arg("-D")
            .arg(self.data());
        succeed(&mut initdb)
    }

    fn run(&self, port: u16) -> io::Result<()> {
        // A checkpoint writes a new file, without which the server cannot go on.
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c shared_buffers=16MB \
             -c checkpoint_timeout=1d -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        );
        let mut start = self.command("pg_ctl")?;
        start
            .args(["start", "--wait", "--timeout=60", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.log_disk.path().join("log"))
            .arg("-o")
            .arg(options);
        succeed(&mut start)
    }

    fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    /// A command of one of its programs, as another user if this one is root.
    fn command(&self, program: &str) -> io::Result<Command> {
        let program = self.bin.join(program);
        let id = Command::new("id").arg("-u").output()?;
        let mut command = if id.stdout == b"0\n" {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={USER}"))
                .arg(format!("--regid={USER}"))
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.disk.path());
        Ok(command)
    }
}

impl Drop for SmallPostgres {
    fn drop(&mut self) {
        // A server that does not end is no failure of the test.
        let Ok(mut stop) = self.command("pg_ctl") else {
            return;
        };
        let _ = stop
            .args(["stop", "--mode=immediate", "-D"])
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?}: {stderr}")))
}

/// Debian has a folder for each major version; elsewhere the programs are in the PATH.
fn newest() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = folders.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let packaged = versions
        .filter(|(_, bin)| has_server(bin))
        .max_by_key(|(version, _)| *version);
    packaged
        .map(|(_, bin)| bin)
        .or_else(|| env::split_paths(&env::var_os("PATH")?).find(|folder| has_server(folder)))
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| folder.join(program).exists())
}
