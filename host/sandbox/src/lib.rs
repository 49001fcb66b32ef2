//! Runs plugins, which are strangers' code, under limits.
//!
//! The engine asks through its port [`Sandbox`](tidegate_engine::ports::Sandbox); [`WasmSandbox`] answers. A component
//! is looked at, compiled by [a process apart](compile_child), tried, and kept as code; each call then has a store and
//! an instance of its own, counted fuel, a deadline, bounded memory, and a bounded answer.
//!
//! # Architecture invariant
//!
//! This is the only crate that names Wasmtime, and the only one with unsafe code: one expression, which loads what this
//! host itself compiled. Nothing is decided by the text of an error.

mod call_permits;
mod code;
mod compile;
mod component;
mod engine;
mod failure;
mod guest;
mod inspect;
mod limits;
mod plugin;
mod plugin_cache;
mod record;
mod replay;
mod sandbox;
mod schema;
mod since_1_0;
mod text;
mod ticker;
mod trial;

pub use compile::{CompilerCommand, compile_child};
pub use limits::{InvalidLimit, SandboxLimits};
pub use plugin::Plugin;
pub use replay::{InvalidCallInput, encode_input};
pub use sandbox::{OpenError, SandboxConfig, WasmSandbox};
