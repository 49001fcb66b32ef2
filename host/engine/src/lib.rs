//! The use cases of Tidegate, the ports they need, and the background loops.
//!
//! A use case is a function; each has its own file. Its first argument is the context of the request ([`Ctx`]), and
//! declares who may run it ([`Authorized`]); then come the parts of the [`Engine`] that it needs. Those of devices have
//! the engine and a [`devices::Caller`]. A failure is an [`Error`]; every adapter maps its class to its own status codes.
//!
//! # Architecture invariant
//!
//! This crate names no database, no wire format and no WebAssembly runtime, and no device request waits for a plugin or
//! for a campaign's lease.

mod authorize;
mod built_ins;
mod caches;
mod cluster_clock;
mod ctx;
mod engine;
mod error;
mod error_chain;
mod file_checks;
mod file_fetches;
mod files;
mod four_eyes;
mod gc;
mod health;
mod independent;
mod interruptions;
mod last_seen_buffer;
mod overdue;
mod plugin_calls;
mod reporting_clock;
mod retrieval_buffer;
mod role;
mod rules;
mod secret;
mod settings;
mod signals;
mod tenant_shares;
mod unattended;
mod update_options;
mod update_writer;

pub mod access;
pub mod campaigns;
mod compatibility;
pub mod devices;
pub mod firmware;
pub mod idempotency;
pub mod latest;
pub mod plugins;
pub mod ports;
pub mod registry;
pub mod tenants;
pub mod updates;

pub use authorize::{Admin, Approver, Authorized, Operator, Publisher, RequiredRole};
pub use built_ins::{BuiltIns, InvalidBuiltIns, ReservedName};
pub use caches::Caches;
pub use cluster_clock::ClusterClock;
pub use ctx::{Actor, ActorKind, Ctx, ServerCtx};
pub use engine::Engine;
pub use error::{Error, Remedy, Result};
pub use error_chain::{ErrorChain, chain};
pub use files::Files;
pub use gc::run_gc;
pub use health::{HealthRegistry, Heartbeat, task_span};
pub use plugin_calls::PluginCalls;
pub use ports::Ports;
pub use role::Role;
pub use secret::fingerprint;
pub use settings::{JournalSettings, Settings};
pub use signals::Signals;
pub use tenant_shares::{TenantPermit, TenantShares};
pub use update_writer::UpdateWriter;
