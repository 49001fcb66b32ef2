//! The composition root of Tidegate: configuration, server, and command line.
//!
//! It is also a library, so that tests can run a complete server in process with their own clock.

pub mod app;
mod client;
mod command;
pub mod config;
mod logging;
mod secret;
pub mod span_export;
mod system_clock;

use std::process::ExitCode;

use clap::Parser as _;
use tidegate_sandbox::compile_child;

/// The program. The server starts itself with `compile-component` to compile in a child process; this is handled before
/// threads start and the command line is parsed.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "compile-component")
    {
        return compile_child();
    }
    let cli = command::Cli::parse();
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return command::fail(&anyhow::Error::new(error).context("start the runtime"));
        }
    };
    let code = runtime.block_on(cli.run());
    // Blocking work that hangs must not keep the process. What has to be written is written.
    runtime.shutdown_background();
    code
}
