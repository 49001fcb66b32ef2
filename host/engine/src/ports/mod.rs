//! What the engine needs of the world, as traits that the adapters implement.

mod sandbox;

pub use sandbox::{Call, CallFailure, ComponentSource, Inspection, Record, Rejection, Sandbox};
