//! The `tidegate` program: the server and its command-line client.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::main()
}
