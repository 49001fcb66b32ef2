//! The `tidegate` program: the server, and the commands that talk to one.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::main()
}
