use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidegate_sandbox::CompilerCommand;

use crate::{Database, Fixture, WAIT_TIMEOUT, components, dirs, server::share_compiled_code};

/// What a program leaves behind, and finds again: a folder and a database.
pub struct ServerStorage {
    dir: TempDir,
    database_url: Option<String>,
}

impl Fixture for ServerStorage {
    async fn set_up(database: Database) -> Result<Self> {
        let dir = dirs::new()?;
        share_compiled_code(dir.path())?;
        Ok(Self {
            dir,
            database_url: database.create().await?,
        })
    }
}

impl ServerStorage {
    /// Where the program's files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A command of the program, which finds the ground in its environment and nothing else.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(program()?);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        if let Some(url) = &self.database_url {
            command.env("TIDEGATE_DATABASE__URL", url);
        }
        command
            .env("TIDEGATE_DATA_DIR", self.dir())
            .env("TIDEGATE_COMPONENTS", components()?);
        Ok(command)
    }
}

/// What a command prints; an error where it fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let stderr_text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {stderr_text}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The program as a process of its own.
pub struct ServerProcess {
    /// `http://127.0.0.1:PORT`, also where it speaks TLS.
    pub url: String,
    child: Child,
}

impl ServerProcess {
    /// Starts it in development mode; it listens when this returns.
    pub fn start(storage: &ServerStorage) -> Result<Self> {
        Self::start_with(storage, &[("TIDEGATE_DEV", "true".into())])
    }

    /// The same with these settings in its environment, in development mode only if they say so.
    pub fn start_with(storage: &ServerStorage, settings: &[(&str, OsString)]) -> Result<Self> {
        let mut child = storage
            .command()?
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("TIDEGATE_LOG__FORMAT", "json")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the program")?;
        let stderr = child.stderr.take().context("read its log")?;
        let address = listen_to(stderr);
        let mut program = Self {
            url: String::new(),
            child,
        };
        match address.recv_timeout(WAIT_TIMEOUT) {
            Ok(address) => program.url = format!("http://{address}"),
            Err(_) => bail!("the program did not listen within {WAIT_TIMEOUT:?}; its log is above"),
        }
        Ok(program)
    }

    /// Bytes of memory that are its own, files that it has mapped left out.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kilobytes.context("read RssAnon")? * 1024)
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        anyhow::ensure!(
            status.signal() == Some(9),
            "it ended by itself before: {status}"
        );
        Ok(())
    }

    /// Asks it to end, and waits for it.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of its log that nobody needs to see.
const EXPECTED: [&str; 2] = ["\"level\":\"INFO\"", "--dev: devices need no token"];

/// Passes its log on, and tells the address that it says it listens on.
fn listen_to(stderr: std::process::ChildStderr) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = address(&line) {
                // Nobody asks any more once it listens.
                let _ = sender.send(address);
            } else if !EXPECTED.iter().any(|part| line.contains(part)) {
                let _ = writeln!(std::io::stderr(), "tidegate: {line}");
            }
        }
    });
    receiver
}

fn address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then(|| line["addr"].as_str()?.parse().ok())?
}

/// The program that cargo built beside the tests.
fn program() -> Result<PathBuf> {
    let test = env::current_exe().context("find the test's own program")?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("find the folder of the profile")?;
    let program = profile.join("tidegate-under-test");
    if !program.exists() {
        bail!(
            "there is no {}: run the tests by cargo, which builds it",
            program.display()
        );
    }
    Ok(program)
}

/// Has the program compile components, for servers in a process that cannot.
pub(crate) fn compiler() -> Result<CompilerCommand> {
    Ok(CompilerCommand {
        program: program()?,
        args: vec!["compile-component".into()],
    })
}
