//! Server processes, and their use of CPU and memory.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// Maximum time until a server listens.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// A server process, killed when this is dropped.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts a program. `find` extracts the listening address from a line of its standard error.
    pub(crate) fn start(
        command: &mut Command,
        find: fn(&str) -> Option<SocketAddr>,
    ) -> Result<Self> {
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let stderr = child.stderr.take().context("read the server's log")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                match find(&line) {
                    // The receiver is dropped once the server listens.
                    Some(addr) => drop(sender.send(addr)),
                    None if line.contains("\"level\":\"INFO\"") => {}
                    None => crate::log(&format!("    {line}")),
                }
            }
        });
        let Ok(addr) = receiver.recv_timeout(START_TIMEOUT) else {
            let _ = child.kill();
            bail!("{} did not listen", command.get_program().display());
        };
        Ok(Self { addr, child })
    }

    /// A child process that listens at this address.
    pub(crate) fn of(child: Child, addr: SocketAddr) -> Self {
        Self { addr, child }
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of its standard output.
    pub(crate) fn first_line(&mut self) -> Result<String> {
        let stdout = self
            .child
            .stdout
            .take()
            .context("read the server's output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line)
    }

    /// CPU seconds of the process and its threads, with a resolution of 10 ms.
    pub(crate) fn cpu(&self) -> Result<f64> {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU seconds of a process; `self` is this one.
pub(crate) fn cpu_of(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The process name may contain spaces; the fields after its bracket do not.
    let (_, fields) = stat.rsplit_once(')').context("read stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> {
        Ok(fields.get(index).context("read stat")?.parse::<f64>()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Anonymous memory of a process in bytes, without mapped files.
pub(crate) fn anonymous_memory(process: u32) -> Result<u64> {
    status(process, "RssAnon:")
}

/// Resident memory of a process in bytes, now and at its peak.
pub(crate) fn resident_memory(process: u32) -> Result<(u64, u64)> {
    Ok((status(process, "VmRSS:")?, status(process, "VmHWM:")?))
}

/// Makes the peak of [`resident_memory`] begin anew.
pub(crate) fn reset_peak_memory(process: u32) -> Result<()> {
    let file = format!("/proc/{process}/clear_refs");
    fs::write(&file, "5").with_context(|| format!("write {file}"))
}

fn status(process: u32, name: &'static str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context(name)? * 1024)
}

/// Creates an empty directory.
pub(crate) fn create_empty_dir(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}
