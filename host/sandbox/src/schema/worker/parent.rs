//! The server's side of checks.

use std::{io, process::ExitStatus, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    id::TenantId,
    plugin::FieldError,
    visible_text::{visible, visible_in_one_line},
};
use tidegate_engine::{TenantShares, ports::CallFailure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    time::timeout,
};

use super::{
    CPU_SECONDS_VAR, CheckTask, LENGTH_BYTES, MEMORY_BYTES, MEMORY_BYTES_VAR, Request, Response,
    encode_frame, frame_length,
};
use crate::{
    child_process::{ChildCommand, ChildRole, ProcessEnd},
    limits::{MAX_REASON_BYTES, SandboxLimits, truncate},
    schema::InvalidSchema,
};

/// Maximum number of processes.
const MAX_PROCESSES: usize = 4;
/// How long a process that has closed its output may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks configs in child processes, which are kept for the next checks.
pub(crate) struct SchemaChecker {
    command: ChildCommand,
    cpu: Duration,
    deadline: Duration,
    /// A permit is for a process, running or not yet started.
    permits: TenantShares,
    /// The processes without work. The last one is used first, so that few are in use.
    idle: Mutex<Vec<CheckProcess>>,
}

impl SchemaChecker {
    /// A checker with at most this number of processes, which are started when they are needed.
    pub(crate) fn new(command: ChildCommand, limits: &SandboxLimits, processes: usize) -> Self {
        Self {
            command,
            cpu: limits.config_check_cpu,
            deadline: limits.config_check_deadline,
            permits: TenantShares::halves(processes.min(MAX_PROCESSES)),
            idle: Mutex::default(),
        }
    }

    /// The errors of a config, JSON text, in the share of a tenant. They quote the schema and the config, so they are made
    /// visible: a schema may have control characters, as a pattern that excludes them does.
    pub(crate) async fn check(
        &self,
        tenant: Option<TenantId>,
        schema: &str,
        config: &str,
    ) -> Result<Vec<FieldError>, CallFailure> {
        let config = config.into();
        match self
            .request(tenant, schema, CheckTask::Check { config })
            .await?
        {
            Response::Errors(errors) => Ok(errors
                .into_iter()
                .map(|(path, message)| FieldError {
                    path: visible(&path).into_owned(),
                    message: visible(&message).into_owned(),
                })
                .collect()),
            other => Err(unexpected(&other)),
        }
    }

    /// A valid config, JSON text, built from the schema's examples and defaults; none if that is not possible.
    pub(crate) async fn example(
        &self,
        tenant: Option<TenantId>,
        schema: &str,
    ) -> Result<Option<String>, CallFailure> {
        match self.request(tenant, schema, CheckTask::Example).await? {
            Response::Example(config) => Ok(config),
            other => Err(unexpected(&other)),
        }
    }

    async fn request(
        &self,
        tenant: Option<TenantId>,
        schema: &str,
        task: CheckTask<'_>,
    ) -> Result<Response, CallFailure> {
        InvalidSchema::check_length(schema).map_err(|error| invalid_schema(&error))?;
        let schema = schema.into();
        let frame = encode_frame(&Request { schema, task })
            .map_err(|error| CallFailure::Host(format!("write the request of a check: {error}")))?;
        let _permit = self.permits.acquire(tenant, None).await;
        let mut process = match self.take_idle() {
            Some(process) => process,
            None => self.start()?,
        };
        loop {
            // A process whose request does not end in time is killed on drop.
            match timeout(self.deadline, process.exchange(&frame)).await {
                Err(_) => return Err(CallFailure::Deadline(self.deadline)),
                Ok(Ok(Response::InvalidSchema(error))) => {
                    self.keep(process);
                    return Err(invalid_schema(&error));
                }
                Ok(Ok(response)) => {
                    self.keep(process);
                    return Ok(response);
                }
                Ok(Err(error)) => {
                    let is_new = process.is_new;
                    let end = process.end().await;
                    // The memory of a process that is not new may be that of earlier requests, and it may have ended
                    // since. Its CPU time is not: the limit is for each request.
                    if is_new || matches!(&end, Some(end) if end.is_out_of_time()) {
                        return Err(self.failure(end, &error));
                    }
                    process = self.start()?;
                }
            }
        }
    }

    fn start(&self) -> Result<CheckProcess, CallFailure> {
        let mut command = self.command.command(ChildRole::CheckConfigs);
        command
            .env(CPU_SECONDS_VAR, self.cpu.as_secs().to_string())
            .env(MEMORY_BYTES_VAR, MEMORY_BYTES.to_string());
        let mut start = || CheckProcess::new(command.spawn()?);
        start().map_err(|error| {
            CallFailure::Host(format!("start the process that checks configs: {error}"))
        })
    }

    fn take_idle(&self) -> Option<CheckProcess> {
        let mut idle = self.idle.lock();
        idle.pop()
    }

    fn keep(&self, process: CheckProcess) {
        let mut idle = self.idle.lock();
        idle.push(process);
    }

    /// Why a process has ended before its response.
    fn failure(&self, end: Option<EndedProcess>, error: &io::Error) -> CallFailure {
        let Some(EndedProcess { status, message }) = end else {
            return CallFailure::Host(format!("read the response of a check: {error}"));
        };
        let message = visible_in_one_line(&message);
        let invalid = |reason: String| CallFailure::InvalidAnswer(reason);
        match ProcessEnd::from(status) {
            ProcessEnd::OutOfTime => invalid(format!(
                "its config schema takes too long to check: more than {} s of CPU time",
                self.cpu.as_secs()
            )),
            ProcessEnd::OutOfMemory => invalid(format!(
                "its config schema takes too much memory to check: {message}"
            )),
            ProcessEnd::Panicked => invalid(format!("checking its config schema panicked: {message}")),
            ProcessEnd::Killed => CallFailure::Host(
                "the process that checks configs was killed, most likely because the machine ran out of memory; \
                 try again"
                    .to_owned(),
            ),
            ProcessEnd::Code(_) | ProcessEnd::Signal => CallFailure::Host(format!(
                "the process that checks configs failed with {status}: {message}"
            )),
        }
    }
}

fn invalid_schema(error: &impl std::fmt::Display) -> CallFailure {
    let error = error.to_string();
    CallFailure::InvalidAnswer(format!(
        "its config schema: {}",
        visible_in_one_line(&error)
    ))
}

fn unexpected(response: &Response) -> CallFailure {
    let response = format!("{response:?}");
    CallFailure::Host(format!(
        "the process that checks configs gave another response: {}",
        truncate(&response, MAX_REASON_BYTES)
    ))
}

/// A process that checks configs. It is killed on drop.
struct CheckProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// True until its first response.
    is_new: bool,
}

/// How a process has ended, and what it has written to standard error.
struct EndedProcess {
    status: ExitStatus,
    message: String,
}

impl EndedProcess {
    fn is_out_of_time(&self) -> bool {
        ProcessEnd::from(self.status) == ProcessEnd::OutOfTime
    }
}

impl CheckProcess {
    fn new(mut child: Child) -> io::Result<Self> {
        let missing = || io::Error::other("a pipe is missing");
        Ok(Self {
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
            child,
            is_new: true,
        })
    }

    /// Sends a request and receives its response. The child reads a request completely before it answers.
    async fn exchange(&mut self, frame: &[u8]) -> io::Result<Response> {
        self.stdin.write_all(frame).await?;
        self.stdin.flush().await?;
        let mut length = [0; LENGTH_BYTES];
        self.stdout.read_exact(&mut length).await?;
        let length = frame_length(u32::from_le_bytes(length).into())?;
        let mut response = vec![0; length as usize];
        self.stdout.read_exact(&mut response).await?;
        let response = serde_json::from_slice(&response)?;
        self.is_new = false;
        Ok(response)
    }

    /// The end of a process that does not answer; none if it still runs.
    async fn end(mut self) -> Option<EndedProcess> {
        let ended = async {
            let status = self.child.wait().await?;
            let mut message = Vec::new();
            let mut stderr = self.stderr.take(MAX_REASON_BYTES as u64);
            stderr.read_to_end(&mut message).await?;
            io::Result::Ok((status, message))
        };
        let (status, message) = timeout(EXIT_TIMEOUT, ended).await.ok()?.ok()?;
        let message = String::from_utf8_lossy(&message).trim().to_owned();
        Some(EndedProcess { status, message })
    }
}
