//! The server's side of compilation.

use std::{process::ExitStatus, time::Duration};

use bytes::Bytes;
use tidegate_core::{id::TenantId, visible_text::visible_in_one_line};
use tidegate_engine::ports::Rejection;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    time::timeout,
};

use super::{
    CPU_SECONDS_VAR, EXIT_INVALID_COMPONENT, MAGIC, MAX_CODE_BYTES, MAX_MESSAGE_BYTES,
    MEMORY_BYTES_VAR, MIN_WALL_TIMEOUT, NICENESS_VAR, WALL_TIMEOUT_FACTOR,
    queue::{CompilePurpose, CompileQueue, QueueFull},
};
use crate::{
    child_process::{ChildCommand, ChildRole, ProcessEnd},
    code::CodeKey,
    limits::SandboxLimits,
    limits::{MAX_REASON_BYTES, truncate},
};

/// Compiles components in child processes: one for calls and one for inspections at a time.
pub(crate) struct Compiler {
    command: ChildCommand,
    limits: SandboxLimits,
    key: CodeKey,
    queue: CompileQueue,
}

impl Compiler {
    /// A compiler that accepts only code with this key.
    pub(crate) fn new(command: ChildCommand, limits: &SandboxLimits, key: CodeKey) -> Self {
        Self {
            command,
            limits: limits.clone(),
            key,
            queue: CompileQueue::new(),
        }
    }

    /// Compiles a component for a tenant; `None`: for the server itself. `recheck` is awaited once the compiler is free:
    /// the previous caller may have compiled the same component.
    pub(crate) async fn compile(
        &self,
        purpose: CompilePurpose,
        tenant: Option<TenantId>,
        component: Bytes,
        recheck: impl Future<Output = Option<Vec<u8>>>,
    ) -> Result<Vec<u8>, Rejection> {
        let turn = self.queue.turn(purpose, tenant).await;
        // At the latest then the component that is being compiled makes room.
        let _turn = turn.map_err(|QueueFull| Rejection::QueueFull(self.limits.compile_cpu))?;
        if let Some(code) = recheck.await {
            return Ok(code);
        }
        let cpu = self.limits.compile_cpu_of(component.len() as u64);
        let mut child = self.start(purpose, cpu).map_err(|error| {
            Rejection::Unavailable(format!("cannot start the compiler process: {error}"))
        })?;
        let wall = MIN_WALL_TIMEOUT.max(cpu * WALL_TIMEOUT_FACTOR);
        let Ok(exchanged) = timeout(wall, exchange(&mut child, component)).await else {
            // The child is killed on drop. Its CPU time is limited too, so the machine is busy.
            return Err(Rejection::Unavailable(format!(
                "compiling it took longer than {} s, because the machine is busy; try again",
                wall.as_secs()
            )));
        };
        let child_output = exchanged.map_err(|error| {
            Rejection::Unavailable(format!(
                "cannot communicate with the compiler process: {error}"
            ))
        })?;
        self.interpret(child_output, cpu)
    }

    fn start(&self, purpose: CompilePurpose, cpu: Duration) -> std::io::Result<Child> {
        // Each thread takes address space, and one plugin needs few threads.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // An inspection leaves half of the machine to devices, and yields all of it; a campaign waits for the other.
        let (threads, niceness) = match purpose {
            CompilePurpose::Inspection => (cores / 2, 19),
            CompilePurpose::Call => (cores, 10),
        };
        self.command
            .command(ChildRole::CompileComponent)
            .env(CPU_SECONDS_VAR, cpu.as_secs().to_string())
            .env(
                MEMORY_BYTES_VAR,
                self.limits.compile_memory_bytes.to_string(),
            )
            .env(NICENESS_VAR, niceness.to_string())
            .env("RAYON_NUM_THREADS", threads.clamp(1, 4).to_string())
            .spawn()
    }

    fn interpret(&self, child_output: ChildOutput, cpu: Duration) -> Result<Vec<u8>, Rejection> {
        let ChildOutput {
            status,
            mut output,
            message,
        } = child_output;
        let message = String::from_utf8_lossy(&message);
        let message = visible_in_one_line(truncate(message.trim(), MAX_REASON_BYTES));
        match ProcessEnd::from(status) {
            ProcessEnd::Code(0) => {}
            ProcessEnd::Code(code) if code == i32::from(EXIT_INVALID_COMPONENT) => {
                return Err(Rejection::Invalid(format!(
                    "it does not compile: {message}"
                )));
            }
            ProcessEnd::Killed => {
                return Err(Rejection::Unavailable(
                    "the compiler process was killed, most likely because the machine ran out of memory; \
                     try again"
                        .to_owned(),
                ));
            }
            ProcessEnd::OutOfTime => {
                return Err(Rejection::Invalid(format!(
                    "compiling it took more than {} s of CPU time",
                    cpu.as_secs()
                )));
            }
            ProcessEnd::OutOfMemory => {
                return Err(Rejection::Invalid(format!(
                    "compiling it needed more than {} MiB of memory: {message}",
                    self.limits.compile_memory_bytes >> 20
                )));
            }
            ProcessEnd::Panicked => {
                return Err(Rejection::Invalid(format!(
                    "the compiler panicked: {message}"
                )));
            }
            ProcessEnd::Code(_) | ProcessEnd::Signal => {
                return Err(Rejection::Unavailable(format!(
                    "the compiler process failed with {status}: {message}"
                )));
            }
        }
        if output.len() as u64 > MAX_CODE_BYTES {
            return Err(Rejection::Invalid(format!(
                "it compiles to more than {} MiB of code",
                MAX_CODE_BYTES >> 20
            )));
        }
        let is_same_build = output
            .strip_prefix(MAGIC)
            .is_some_and(|rest| rest.starts_with(self.key.as_bytes()));
        if !is_same_build {
            return Err(Rejection::Unavailable(
                "the compiler process is of another build than this server; restart the server"
                    .to_owned(),
            ));
        }
        Ok(output.split_off(MAGIC.len() + self.key.as_bytes().len()))
    }
}

/// The status and the output of a finished child.
struct ChildOutput {
    status: ExitStatus,
    output: Vec<u8>,
    message: Vec<u8>,
}

/// Writes the component and reads both outputs concurrently, since the pipes have small buffers.
async fn exchange(child: &mut Child, component: Bytes) -> std::io::Result<ChildOutput> {
    let missing = || std::io::Error::other("a pipe is missing");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let write = async move {
        // A child that exits early closes its pipe; the reason is in its status.
        let _ = stdin.write_all(&component).await;
        drop(stdin);
    };
    let (mut output, mut message) = (Vec::new(), Vec::new());
    let mut limited_output = stdout.take(MAX_CODE_BYTES + 1 + 64);
    let mut limited_stderr = stderr.take(MAX_MESSAGE_BYTES);
    let ((), read, drained) = tokio::join!(write, limited_output.read_to_end(&mut output), async {
        let drained = limited_stderr.read_to_end(&mut message).await;
        // Drain the rest, so that it does not block the child.
        tokio::io::copy(limited_stderr.get_mut(), &mut tokio::io::sink()).await?;
        drained
    },);
    read?;
    drained?;
    // Close the pipe: a child that still writes would block forever.
    drop(limited_output);
    let status = child.wait().await?;
    Ok(ChildOutput {
        status,
        output,
        message,
    })
}
