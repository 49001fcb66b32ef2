//! The `tidegate` program: the server and its command-line client.

use std::process::ExitCode;

/// Code in C, such as SQLite, uses it as well.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::main()
}
