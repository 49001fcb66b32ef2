//! The server, as a process of its own.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::Arguments;

/// Maximum time for the server to start, including the compilation of the built-in components.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// Maximum time for the server to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
const DEFAULT_PORT: u16 = 8080;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) log: PathBuf,
    program: PathBuf,
    /// The first administrator's API key, which the server prints at its first start.
    first_key: Option<String>,
    child: Child,
    /// Kept open, because a server fails to print to a closed pipe.
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self> {
        fs::create_dir_all(&arguments.data_dir)
            .with_context(|| format!("make {}", arguments.data_dir.display()))?;
        let address = format!("127.0.0.1:{}", port(arguments.port)?);
        let log = arguments.data_dir.join("server.log");
        let file = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let mut child = Command::new(&arguments.server_bin)
            .args(["serve", "--dev", "--listen", &address])
            .arg("--data-dir")
            .arg(arguments.data_dir.join("server"))
            .arg("--components")
            .arg(&arguments.components)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            // Ctrl-C is handled by the demo, which then stops the server.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", arguments.server_bin.display()))?;
        let stdout = child.stdout.take().context("read what the server prints")?;
        let mut server = Self {
            url: format!("http://{address}"),
            log,
            program: arguments.server_bin.clone(),
            first_key: None,
            child,
            stdout: BufReader::new(stdout).lines(),
        };
        let ready = timeout(START_TIMEOUT, server.ready()).await;
        ready.map_err(|_| {
            server.error_with_log(&format!("it did not start within {START_TIMEOUT:?}"))
        })??;
        Ok(server)
    }

    /// Waits until the server is ready.
    async fn ready(&mut self) -> Result<()> {
        tidegate_fleet::install_tls();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/readyz", self.url);
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .context("check whether the server runs")?
            {
                return Err(self.error_with_log(&format!("it ended with {status}")));
            }
            if http
                .get(&url)
                .send()
                .await
                .is_ok_and(|body_json| body_json.status().is_success())
            {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        // The server prints the key, if any, before it listens.
        while let Ok(Ok(Some(line))) =
            timeout(Duration::from_millis(200), self.stdout.next_line()).await
        {
            self.first_key = line
                .split_whitespace()
                .find(|word| word.starts_with("tg_"))
                .map(str::to_owned);
        }
        Ok(())
    }

    /// How to continue by hand.
    pub(crate) fn hints(&self) -> String {
        let (url, program) = (&self.url, self.program.display());
        let key = self
            .first_key
            .as_deref()
            .unwrap_or("(shown at the first start only)");
        format!(
            "\nThe server and the fleet stay up until Ctrl-C.\n\n  \
             URL   {url}\n  \
             key   {key}\n\n  \
             export TIDEGATE_URL={url} TIDEGATE_KEY={key}\n  \
             {program} campaign list\n"
        )
    }

    /// Waits for the unexpected end of the server.
    pub(crate) async fn ended(&mut self) -> Error {
        let status = self.child.wait().await;
        self.error_with_log(&status.map_or_else(
            |error| error.to_string(),
            |status| format!("it ended with {status}"),
        ))
    }

    /// Sends SIGTERM and waits for the server.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(id) = self.child.id() else {
            return Ok(());
        };
        let id = i32::try_from(id).context("the server's process id")?;
        let id = rustix::process::Pid::from_raw(id).context("the server's process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .context("stop the server")?;
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => bail!("the server did not stop cleanly: {status:?}"),
            Err(_) => bail!("the server did not stop within {STOP_TIMEOUT:?}"),
        }
    }

    /// An error with the end of the log.
    fn error_with_log(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n  ");
        anyhow!("the server is not running: {what}\n  {tail}")
    }
}

/// The requested port, else the default port, else any free port.
fn port(requested: Option<u16>) -> Result<u16> {
    if let Some(port) = requested {
        return Ok(port);
    }
    let free = TcpListener::bind(("127.0.0.1", DEFAULT_PORT))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    Ok(free
        .and_then(|listener| listener.local_addr())
        .context("find a free port")?
        .port())
}
