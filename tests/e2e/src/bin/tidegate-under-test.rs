//! The server's program, for tests that start it as a process. It also compiles components for servers inside a
//! test.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::main()
}
