//! The domain of Tidegate: what devices, firmware, campaigns, waves and updates are, and which steps they may take.
//!
//! # Architecture invariant
//!
//! This crate does no IO, is not async, reads no clock and draws no randomness: time and chance are arguments. It
//! knows no wire format: JSON, WIT and rows belong to the adapters, which convert to and from these types.

pub mod access;
pub mod campaign;
pub mod checker;
pub mod device;
pub mod feedback;
pub mod firmware;
pub mod id;
pub mod log;
pub mod mode;
pub mod order;
pub mod plugin;
pub mod polling;
pub mod rollback;
pub mod selection;
pub mod selector;
pub mod settings;
pub mod time;
pub mod update;
pub mod version;
pub mod wave;
pub mod window;
