//! The device API over real connections and a real database, as devices see it on the wire.

mod confirmation;
mod doors;
mod files;
mod limits;
mod nginx;
mod polling;
mod polls;
mod proxies;
mod refused;
mod tls;
mod types;
mod updates;
mod windows;
mod wire;
mod world;
