//! Compiling, in a process of its own.
//!
//! A component of a few hundred kilobytes can keep a compiler busy for minutes, or make it panic, and Wasmtime does
//! not count compile time as a security matter. So the serving process never compiles: it starts the same binary with a
//! hidden subcommand, whose limits the kernel enforces.

mod child;
mod parent;

pub use child::compile_child;
pub(crate) use parent::Compiler;
pub use parent::CompilerCommand;

use std::time::Duration;

/// Environment of the child: seconds of CPU time that it may take.
const CPU_SECONDS_VAR: &str = "COMPILE_CPU_SECONDS";
/// Environment of the child: bytes of its address space.
const MEMORY_BYTES_VAR: &str = "COMPILE_MEMORY_BYTES";
/// Its wall time; it is killed after that.
const WALL_TIMEOUT: Duration = Duration::from_mins(1);
/// What stands before the code on its standard output, and before that code's key.
const MAGIC: &[u8; 16] = b"tidegate-code-1\n";
/// Bytes of code; a component of 32 MiB makes less.
const MAX_CODE_BYTES: u64 = 512 << 20;
/// Bytes of its message.
const MAX_MESSAGE_BYTES: u64 = 4 << 10;
/// Its exit code for a component that cannot be compiled; everything else is the host's fault or a limit's doing.
const EXIT_INVALID_COMPONENT: u8 = 65;
