//! Servers as processes of their own, and what they cost.

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

/// How long a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// A server that is killed with this.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts a program that says where it listens in a line of its standard error, as `find` reads it.
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
        let stderr = child.stderr.take().context("read its log")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                match find(&line) {
                    // Nobody asks any more once it listens.
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

    /// A child that listens there once it answers.
    pub(crate) fn of(child: Child, addr: SocketAddr) -> Self {
        Self { addr, child }
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line that it prints.
    pub(crate) fn first_line(&mut self) -> Result<String> {
        let stdout = self.child.stdout.take().context("read what it prints")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line)
    }

    /// Processor seconds that it and its threads have taken; to a hundredth.
    pub(crate) fn cpu(&self) -> Result<f64> {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processor seconds of a process; `self` is this one.
pub(crate) fn cpu_of(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; what follows its bracket does not.
    let (_, fields) = stat.rsplit_once(')').context("read stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> {
        Ok(fields.get(index).context("read stat")?.parse::<f64>()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Bytes of memory that are a process's own, files that it has mapped left out.
pub(crate) fn anonymous_memory(process: u32) -> Result<u64> {
    status(process, "RssAnon:")
}

/// Bytes of memory that a process holds, and has ever held at once.
pub(crate) fn resident_memory(process: u32) -> Result<(u64, u64)> {
    Ok((status(process, "VmRSS:")?, status(process, "VmHWM:")?))
}

fn status(process: u32, name: &'static str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context(name)? * 1024)
}

/// Makes an empty folder.
pub(crate) fn create_empty_dir(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}
