//! The compiler process.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use rustix::process::nice;

use super::{CPU_SECONDS_VAR, EXIT_INVALID_COMPONENT, MAGIC, MEMORY_BYTES_VAR, NICENESS_VAR};
use crate::{
    child_process::{limit_cpu, limit_memory, number_from_env},
    code::CodeKey,
    engine,
    failure::describe,
};

/// Limits if the environment sets none.
const DEFAULT_CPU_SECONDS: u64 = 20;
const DEFAULT_MEMORY_BYTES: u64 = 2 << 30;

/// Main function of the compiler process: limits itself, reads a component from standard input and writes its code to
/// standard output. An error is written to standard error as one line.
pub(crate) fn compile_child() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(CompileError { text, code }) => {
            // If standard error is closed, the error cannot be reported.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(code)
        }
    }
}

struct CompileError {
    text: String,
    code: u8,
}

fn compile() -> Result<(), CompileError> {
    let internal_error = |what: &str, error: &dyn std::fmt::Display| CompileError {
        text: format!("{what}: {error}"),
        code: 1,
    };
    limit_resources().map_err(|error| internal_error("limit the compiler", &error))?;

    let mut component = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| internal_error("read the component", &error))?;

    let engine = engine::compiler()
        .map_err(|error| internal_error("set up the compiler", &describe(&error)))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| CompileError {
            text: describe(&error),
            code: EXIT_INVALID_COMPONENT,
        })?;

    let mut out = io::stdout().lock();
    [
        MAGIC.as_slice(),
        CodeKey::for_engine(&engine).as_bytes(),
        &code,
    ]
    .into_iter()
    .try_for_each(|part| out.write_all(part))
    .and_then(|()| out.flush())
    .map_err(|error| internal_error("write the code", &error))
}

fn limit_resources() -> io::Result<()> {
    // Before the compiler starts threads, which inherit it.
    if let Some(niceness) = number_from_env(NICENESS_VAR) {
        nice(i32::try_from(niceness).unwrap_or(19))?;
    }
    let cpu = number_from_env(CPU_SECONDS_VAR).unwrap_or(DEFAULT_CPU_SECONDS);
    limit_cpu(cpu, Some(cpu.saturating_add(1)))?;
    limit_memory(number_from_env(MEMORY_BYTES_VAR).unwrap_or(DEFAULT_MEMORY_BYTES))
}
