//! Child processes, which do work that can take any time or memory: the server's program with another first argument.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Resource, Rlimit, setrlimit};
use strum::{EnumString, IntoStaticStr};
use tokio::process::Command;

/// The work of a child process. Its name is the program's first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum ChildRole {
    CompileComponent,
    /// Checks configs against the schemas of plugins.
    CheckConfigs,
}

/// The command that starts child processes. The name of the child's work is its last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program. It calls [`crate::run_child`].
    pub program: PathBuf,
    /// Arguments before the name of the work.
    pub args: Vec<OsString>,
}

impl Default for ChildCommand {
    /// The running program, by the inode that it was started from: a newer binary at its path would make incompatible
    /// code.
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: Vec::new(),
        }
    }
}

impl ChildCommand {
    /// A process with an empty environment and pipes, which is killed when its handle is dropped. Its process group is its
    /// own, so that Ctrl-C in a terminal stops only the server, which finishes its requests first.
    pub(crate) fn command(&self, role: ChildRole) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .arg(<&'static str>::from(role))
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// In a child: limits its address space, and writes no core dumps.
pub(crate) fn limit_memory(bytes: u64) -> io::Result<()> {
    limit(Resource::Core, 0, Some(0))?;
    limit(Resource::As, bytes, Some(bytes))
}

/// In a child: limits its CPU time. Beyond it the kernel ends the process with SIGXCPU, so that a SIGKILL comes from
/// elsewhere, such as the OOM killer. `maximum`: the time up to which the limit can be raised; `None`: any.
pub(crate) fn limit_cpu(seconds: u64, maximum: Option<u64>) -> io::Result<()> {
    limit(Resource::Cpu, seconds, maximum)
}

fn limit(resource: Resource, current: u64, maximum: Option<u64>) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(current),
        maximum,
    };
    Ok(setrlimit(resource, limit)?)
}

/// In a child: a number that its parent has put into the environment.
pub(crate) fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How a process ended, by the signals and the exit code that the limits cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// It exited with this code.
    Code(i32),
    /// A panic.
    Panicked,
    /// It exceeded its CPU time.
    OutOfTime,
    /// It could not allocate memory.
    OutOfMemory,
    /// SIGKILL.
    Killed,
    /// Another signal.
    Signal,
}

impl From<ExitStatus> for ProcessEnd {
    fn from(status: ExitStatus) -> Self {
        const SIGKILL: i32 = 9;
        const SIGABRT: i32 = 6;
        const SIGXCPU: i32 = 24;
        const PANICKED: i32 = 101;
        match (status.code(), status.signal()) {
            (Some(PANICKED), _) => Self::Panicked,
            (Some(code), _) => Self::Code(code),
            (_, Some(SIGXCPU)) => Self::OutOfTime,
            (_, Some(SIGABRT)) => Self::OutOfMemory,
            (_, Some(SIGKILL)) => Self::Killed,
            _ => Self::Signal,
        }
    }
}
