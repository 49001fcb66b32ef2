//! The child processes of the sandbox alone, for tests and tools that are not the server binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate_sandbox::run_child().unwrap_or(ExitCode::FAILURE)
}
