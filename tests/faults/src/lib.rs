//! Faults for tests: a disk that is full, a network that is dead.

mod small_disk;
mod tcp_proxy;

pub use small_disk::SmallDisk;
pub use tcp_proxy::TcpProxy;
