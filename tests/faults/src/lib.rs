//! Faults for tests: a disk that is full, a network that is dead, a machine that is late.

mod machine_delay;
mod small_disk;
mod small_postgres;
mod tcp_proxy;

pub use machine_delay::MachineDelay;
pub use small_disk::SmallDisk;
pub use small_postgres::SmallPostgres;
pub use tcp_proxy::TcpProxy;
