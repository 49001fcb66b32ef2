//! The process that checks configs.

use std::{
    io::{self, Read, Write as _},
    process::{self, ExitCode},
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use cpu_time::ProcessTime;
use quick_cache::unsync::Cache;

use super::{
    CPU_SECONDS_VAR, CheckTask, LENGTH_BYTES, MEMORY_BYTES, MEMORY_BYTES_VAR, Request, Response,
    encode_frame, frame_length,
};
use crate::{
    child_process::{limit_cpu, limit_memory, number_from_env},
    schema::{ConfigSchema, parse_config},
};

/// Limit if the environment sets none.
const DEFAULT_CPU_SECONDS: u64 = 1;
/// Number of compiled schemas that are kept.
const MAX_SCHEMAS: usize = 32;
/// Stack of the thread that checks: a validator walks schema and config recursively.
const STACK_BYTES: usize = 16 << 20;
/// Exit code of a panic, as Rust's own.
const EXIT_PANICKED: i32 = 101;

/// Main function of the process: answers requests until its standard input is closed. Then it exits at once, also
/// during a check, so that no check outlives the server.
pub(crate) fn check_child() -> ExitCode {
    // The panicking thread is not the only one, so the process would go on.
    std::panic::set_hook(Box::new(|panic| {
        fail(panic, EXIT_PANICKED);
    }));
    match read_requests() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &dyn std::fmt::Display, code: i32) -> ! {
    // If standard error is closed, the error cannot be reported.
    let _ = writeln!(io::stderr(), "{error}");
    process::exit(code)
}

fn read_requests() -> io::Result<()> {
    limit_memory(number_from_env(MEMORY_BYTES_VAR).unwrap_or(MEMORY_BYTES))?;
    let cpu_seconds = number_from_env(CPU_SECONDS_VAR).unwrap_or(DEFAULT_CPU_SECONDS);
    let (requests, received) = sync_channel(1);
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || answer_requests(&received, cpu_seconds))?;
    let mut input = io::stdin().lock();
    while let Some(frame) = read_frame(&mut input)? {
        if requests.send(frame).is_err() {
            break;
        }
    }
    Ok(())
}

/// The next frame; `None`: the input has ended.
fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = frame_length(u32::from_le_bytes(length).into())?;
    let mut frame = vec![0; length as usize];
    input.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn answer_requests(requests: &Receiver<Vec<u8>>, cpu_seconds: u64) {
    let mut schemas = Cache::new(MAX_SCHEMAS);
    for frame in requests {
        let answered = allow_cpu(cpu_seconds)
            .and_then(|()| Ok(serde_json::from_slice(&frame)?))
            .and_then(|request| encode_frame(&answer(&mut schemas, &request)))
            .and_then(|response| {
                let mut output = io::stdout().lock();
                output.write_all(&response)?;
                output.flush()
            });
        if let Err(error) = answered {
            fail(&error, 1);
        }
    }
}

/// Lets the process use this much more CPU time. The limit is in whole seconds, so it is up to a second more.
fn allow_cpu(seconds: u64) -> io::Result<()> {
    let used = ProcessTime::try_now()?.as_duration().as_secs();
    limit_cpu(used + seconds + 1, None)
}

fn answer(schemas: &mut Cache<String, ConfigSchema>, request: &Request<'_>) -> Response {
    let text: &str = &request.schema;
    let schema = match schemas.get_or_insert_with(text, || ConfigSchema::read(text)) {
        Ok(Some(schema)) => schema,
        Ok(None) => return Response::InvalidSchema("it cannot be kept".to_owned()),
        Err(error) => return Response::InvalidSchema(error.to_string()),
    };
    match &request.task {
        CheckTask::Check { config } => {
            let errors = match parse_config(config) {
                Ok(config) => schema.check(&config),
                Err(error) => vec![error],
            };
            let errors = errors.into_iter().map(|error| (error.path, error.message));
            Response::Errors(errors.collect())
        }
        CheckTask::Example => Response::Example(schema.example().map(|config| config.to_string())),
    }
}
