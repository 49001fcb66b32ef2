//! Compilation in a separate process.
//!
//! A component of a few hundred kilobytes can keep a compiler busy for minutes or make it panic, and Wasmtime does not
//! treat compile time as a security issue. So the server never compiles in its own process: it starts the same binary
//! with a hidden subcommand, under limits that the kernel enforces.

mod child;
mod parent;
mod queue;

pub(crate) use child::compile_child;
pub(crate) use parent::Compiler;
pub(crate) use queue::CompilePurpose;

use std::time::Duration;

/// Environment variable of the child: its CPU time limit in seconds.
const CPU_SECONDS_VAR: &str = "COMPILE_CPU_SECONDS";
/// Environment variable of the child: its address space limit in bytes.
const MEMORY_BYTES_VAR: &str = "COMPILE_MEMORY_BYTES";
/// Environment variable of the child: how much it yields to others, from 0 to 19 (`nice`).
const NICENESS_VAR: &str = "COMPILE_NICENESS";
/// Wall time after which the child is killed, at least. Long, because on a busy machine it gets little CPU time.
const MIN_WALL_TIMEOUT: Duration = Duration::from_mins(2);
/// The same in multiples of its CPU time limit, which a large component needs.
const WALL_TIMEOUT_FACTOR: u32 = 6;
/// First bytes of the child's standard output. The code's key and the code follow.
const MAGIC: &[u8; 16] = b"tidegate-code-1\n";
/// Maximum size of the code. A component of 32 MiB compiles to less.
const MAX_CODE_BYTES: u64 = 512 << 20;
/// Maximum size of the child's error message.
const MAX_MESSAGE_BYTES: u64 = 4 << 10;
/// The child's exit code for a component that cannot be compiled. Other failures are the server's, or due to a limit.
const EXIT_INVALID_COMPONENT: u8 = 65;
