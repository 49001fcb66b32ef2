//! The program, for tests that start it, measure it and kill it. It also compiles components for servers in process.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::main()
}
