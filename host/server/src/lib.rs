//! The composition root of Tidegate: configuration, server, and command line.
//!
//! It is also a library, so that tests can run a complete server in process with their own clock.

pub mod app;
mod client;
mod command;
pub mod config;
mod http_client;
mod logging;
mod secret;
pub mod span_export;
mod system_clock;

use std::process::ExitCode;

use tidegate_sandbox::run_child;

/// A worker of the runtime runs at most as many tasks before it looks for those that another thread has woken. SQLite's
/// thread wakes the group commit after each statement, and all reports wait for that.
const TASKS_BEFORE_THE_DATABASE: u32 = 8;

/// The program. The server starts itself as the child processes of the sandbox; this is handled before threads start and
/// the command line is parsed.
pub fn main() -> ExitCode {
    app::create_private_files();
    if let Some(code) = run_child() {
        return code;
    }
    logging::print_panics();
    let invocation = command::Invocation::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(TASKS_BEFORE_THE_DATABASE)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return command::fail(&anyhow::Error::new(error).context("start the runtime"));
        }
    };
    let code = runtime.block_on(invocation.run());
    // Blocking work that hangs must not keep the process. What has to be written is written.
    runtime.shutdown_background();
    code
}
