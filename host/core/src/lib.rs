//! The domain of Tidegate: devices, firmware, campaigns, waves, updates and their state machines.
//!
//! # Architecture invariant
//!
//! This crate does no IO, is not async, reads no clock and draws no randomness: time and random values are arguments.
//! It knows no wire format: adapters convert JSON, WIT and rows to and from these types.

pub mod access;
pub mod campaign;
pub mod checker;
pub mod device;
pub mod device_fields;
pub mod feedback;
pub mod firmware;
pub mod id;
pub mod log;
pub mod measurement;
pub mod mode;
mod names;
pub mod order;
pub mod plugin;
pub mod polling;
pub mod reporting_clock;
pub mod rollback;
pub mod selection;
pub mod selector;
pub mod settings;
pub mod time;
pub mod update;
pub mod user_name;
pub mod version_changes;
pub mod visible_text;
pub mod wave;
pub mod window;
pub mod zone;

pub use names::Named;
/// The order of versions, which the server shares with the built-in policies.
pub use tidegate_version as version;
