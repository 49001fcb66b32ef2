//! The composition root of Tidegate: configuration, the server that runs with it, and the command line.
//!
//! It is a library too, so that tests run a whole server in process, with a clock of their own.

pub mod app;
mod client;
#[expect(
    clippy::print_stderr,
    reason = "a command line talks to whoever typed it"
)]
mod command;
pub mod config;
mod logging;
mod secret;
mod system_clock;

use std::process::ExitCode;

use clap::Parser as _;
use tidegate_sandbox::compile_child;

/// The whole program. `compile-component` is for the server itself, which starts a process like this to compile in:
/// it comes before anything that starts threads or reads the command line.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "compile-component")
    {
        return compile_child();
    }
    let cli = command::Cli::parse();
    // A second call would find the provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start threads");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(cli.run())
}
