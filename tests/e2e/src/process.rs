use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tidegate_sandbox::ChildCommand;

use crate::{
    Database, Fixture, WAIT_TIMEOUT, components,
    dirs::{self, share_compiled_code},
};

/// The data directory and the database of a server process, which outlive the process.
pub struct ServerStorage {
    dir: TempDir,
    database_url: Option<String>,
    /// The directory of the artifacts, if it belongs to another server.
    artifacts: Option<PathBuf>,
}

impl Fixture for ServerStorage {
    async fn set_up(database: Database) -> Result<Self> {
        let dir = dirs::new()?;
        share_compiled_code(dir.path())?;
        Ok(Self {
            dir,
            database_url: database.create().await?,
            artifacts: None,
        })
    }
}

impl ServerStorage {
    /// The storage of a second server on the same database and artifacts, with the same secret. The first one must have
    /// started.
    pub fn replica(&self) -> Result<Self> {
        const SECRET: &str = "auth-secret";
        let dir = dirs::new()?;
        share_compiled_code(dir.path())?;
        fs::copy(self.dir().join(SECRET), dir.path().join(SECRET)).context("share the secret")?;
        Ok(Self {
            dir,
            database_url: self.database_url.clone(),
            artifacts: Some(self.dir().join("artifacts")),
        })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of the database.
    pub fn database_url(&self) -> String {
        match &self.database_url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.dir().join("tidegate.db").display()),
        }
    }

    /// A command of the server's program, with this storage and without any other setting from the environment.
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
        if let Some(artifacts) = &self.artifacts {
            command.env("TIDEGATE_ARTIFACTS__DIR", artifacts);
        }
        command
            .env("TIDEGATE_DATA_DIR", self.dir())
            .env("TIDEGATE_COMPONENTS", components()?);
        Ok(command)
    }
}

/// The standard output of a command. Fails if the command fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let stderr_text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {stderr_text}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The destination of a server's stdout and stderr.
#[derive(Debug)]
pub enum ServerOutput {
    /// Pipes that are open and not read.
    Pipe,
    /// Pipes whose reader is gone.
    ClosedPipe,
    /// A file.
    File(fs::File),
}

/// The server as a process of its own.
pub struct ServerProcess {
    /// `http://127.0.0.1:PORT`, also where it speaks TLS.
    pub url: String,
    child: Child,
}

impl ServerProcess {
    /// Starts it in development mode and waits until it listens.
    pub fn start(storage: &ServerStorage) -> Result<Self> {
        Self::start_with(storage, &[("TIDEGATE_DEV", "true".into())])
    }

    /// Starts it with these environment variables; in development mode only if they set it.
    pub fn start_with(storage: &ServerStorage, settings: &[(&str, OsString)]) -> Result<Self> {
        let mut command = storage.command()?;
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Self::spawn(command)
    }

    /// Starts it in development mode, so that it survives [`Self::limit_files`].
    pub fn start_limitable(storage: &ServerStorage) -> Result<Self> {
        let command = storage.command()?;
        // The signal of a write beyond the limit would end the process; what a shell ignores stays ignored.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).env("TIDEGATE_DEV", "true");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Self::spawn(shell)
    }

    /// Starts it in development mode without a setting that names its folder of components.
    pub fn start_without_components(storage: &ServerStorage) -> Result<Self> {
        let mut command = storage.command()?;
        command
            .env_remove("TIDEGATE_COMPONENTS")
            .env("TIDEGATE_DEV", "true");
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("TIDEGATE_LOG__FORMAT", "json")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the server")?;
        let stderr = child.stderr.take().context("read its log")?;
        let address = listen_to(stderr);
        let mut program = Self {
            url: String::new(),
            child,
        };
        match address.recv_timeout(WAIT_TIMEOUT) {
            Ok(address) => program.url = format!("http://{address}"),
            Err(_) => bail!("the server did not listen within {WAIT_TIMEOUT:?}; its log is above"),
        }
        Ok(program)
    }

    /// Starts it in development mode with this destination of its output, which is not read, and with these environment
    /// variables: it must be waited for until it listens.
    pub fn start_unread(
        storage: &ServerStorage,
        output: &ServerOutput,
        settings: &[(&str, OsString)],
    ) -> Result<Self> {
        // Tests elsewhere use other addresses, so the port stays free until the server listens.
        let address = TcpListener::bind("127.0.0.77:0")?.local_addr()?;
        let mut command = storage.command()?;
        command
            .args(["serve", "--dev", "--listen", &address.to_string()])
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null());
        match output {
            ServerOutput::Pipe | ServerOutput::ClosedPipe => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped())
            }
            ServerOutput::File(file) => command.stdout(file.try_clone()?).stderr(file.try_clone()?),
        };
        let mut child = command.spawn().context("start the server")?;
        if matches!(output, ServerOutput::ClosedPipe) {
            drop((child.stdout.take(), child.stderr.take()));
        }
        Ok(Self {
            url: format!("http://{address}"),
            child,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its anonymous memory in bytes, without mapped files.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kilobytes.context("read RssAnon")? * 1024)
    }

    /// Lets every write to a file beyond this many bytes fail, as on a disk that fails; none: no write.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)?;
        Ok(())
    }

    /// Stops all its threads, until it is resumed or killed.
    pub fn suspend(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Lets it run again after it was suspended.
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Kills it, as a power cut would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        let status = self.child.wait()?;
        anyhow::ensure!(
            status.signal() == Some(9),
            "the server ended before it was killed: {status}"
        );
        Ok(())
    }

    /// Sends SIGTERM and waits for the end of the process. Then reads what it wrote to a stderr that is not read.
    pub fn terminate_and_read(mut self) -> Result<(ExitStatus, Vec<u8>)> {
        let stderr = self.child.stderr.take();
        let status = self.terminate()?;
        let mut unread = Vec::new();
        if let Some(mut stderr) = stderr {
            stderr.read_to_end(&mut unread)?;
        }
        Ok((status, unread))
    }

    /// Sends SIGTERM and waits for the end of the process.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parts of log lines that are not passed on.
const EXPECTED: [&str; 2] = ["\"level\":\"INFO\"", "development mode (--dev)"];

/// Passes the log on, and sends the address at which the server listens.
fn listen_to(stderr: std::process::ChildStderr) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(address) = address(&line) {
                // The receiver is dropped once the server listens.
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

/// The server's program, which cargo built with the tests.
fn program() -> Result<PathBuf> {
    let test = env::current_exe().context("find the test's own program")?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("find the build profile's directory")?;
    let program = profile.join("tidegate-under-test");
    if !program.exists() {
        bail!(
            "{} does not exist: run the tests with cargo, which builds it",
            program.display()
        );
    }
    Ok(program)
}

/// The command by which servers in this process start child processes.
pub(crate) fn child_command() -> Result<ChildCommand> {
    Ok(ChildCommand {
        program: program()?,
        args: Vec::new(),
    })
}
