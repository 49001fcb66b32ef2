//! The device API over real connections and a real database, as devices see it on the wire.

mod doors;
mod files;
mod polls;
mod refused;
mod updates;
mod wire;
mod world;
