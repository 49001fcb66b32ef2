//! The device API over real connections and a real database, as devices see it on the wire.

mod confirmation;
mod doors;
mod files;
mod polling;
mod polls;
mod refused;
mod types;
mod updates;
mod wire;
mod world;
