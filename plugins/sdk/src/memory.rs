//! Allocator of components.

use dlmalloc::GlobalDlmalloc;

/// The standard library's allocator in a version that uses the heap laid out by the linker first. The library's own
/// grows the memory in every call, since each call has an instance of its own, and growing memory blocks the other
/// threads of the host.
#[global_allocator]
static HEAP: GlobalDlmalloc = GlobalDlmalloc;
