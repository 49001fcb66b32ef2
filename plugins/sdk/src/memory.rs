//! Where a component's memory comes from.

use dlmalloc::GlobalDlmalloc;

/// The standard library's allocator, in a version that begins with the heap which the linker has laid out. The library's
/// own grows the memory first: in every call, as each has an instance of its own, and a growth makes the threads of a
/// host wait for each other.
#[global_allocator]
static HEAP: GlobalDlmalloc = GlobalDlmalloc;
