//! Runs plugins, which are untrusted code, under limits.
//!
//! [`WasmSandbox`] implements the engine's port [`Sandbox`](tidegate_engine::ports::Sandbox). An uploaded component is
//! inspected, compiled by [a separate process](run_child) and called on a trial campaign; its compiled code is cached.
//! Each call has its own store and instance, metered fuel, a deadline, and limits on memory and output. Configs are
//! checked against a plugin's schema in another separate process, because schemas are untrusted too.
//!
//! A plugin is built for a version of the contract. Each version is a module (`since_1_0`) that implements the traits of
//! `contract`; `versions` lists them. No other module names a version's types.
//!
//! # Architecture invariant
//!
//! This is the only crate that depends on Wasmtime, and the only one with unsafe code: one expression, which loads code
//! that this server has compiled. Nothing depends on the text of an error.

mod call_clock;
mod call_permits;
mod call_threads;
mod child_process;
mod code;
mod compile;
mod component;
mod contract;
#[cfg(feature = "draft-contract")]
mod draft_1_1;
mod engine;
mod failure;
mod fuel_costs;
mod golden;
mod guest;
mod inspect;
mod limits;
mod linked_component;
mod loader;
mod names;
mod plugin;
mod plugin_cache;
mod record;
mod rejections;
mod replay;
mod run_child;
mod sandbox;
mod schema;
mod since_1_0;
mod ticker;
mod trial;
mod versions;

pub use child_process::ChildCommand;
pub use component::ComponentInterface;
pub use contract::{GoldenOutput, GoldenRun};
pub use golden::{Golden, InvalidGolden, golden_files};
pub use limits::{InvalidLimit, SandboxLimits};
pub use names::CallName;
pub use plugin::Plugin;
pub use run_child::run_child;
pub use sandbox::{OpenError, SandboxConfig, WasmSandbox};
