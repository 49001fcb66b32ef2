//! Campaigns: commands of operators, and the loop that drives them.
//!
//! Each command has its own file. `tick` processes one campaign once; `reconcile` is the loop that does so for all.
//! Plan, check, execute: a plugin proposes, `tidegate_core::checker` checks, the store applies the outcome with a
//! compare-and-set, and devices are admitted from what was applied.

mod approve;
mod calls;
mod commands;
mod create;
mod explain;
mod explain_retry;
mod explain_rollback;
mod fleet;
mod journal;
mod options;
mod prepare;
mod read;
mod reconcile;
mod start;
mod tick;

pub use approve::approve;
pub(crate) use calls::record_call;
pub use calls::{UsageLog, flush_usage};
pub use commands::{advance, cancel, change_limits, pause, resume, roll_back};
pub(crate) use create::resolve_plugin;
pub use create::{Draft, PluginChoice, create, validate};
pub use explain::{Explanation, MembershipStatus, explain};
pub use journal::{Replay, journal, replay};
pub(crate) use options::{check_note, check_options, check_retries};
pub(crate) use prepare::exclusion;
pub use read::{get, list, updates, waves, waves_of};
pub use reconcile::{expire_updates_loop, reconcile};
pub use start::start;
pub use tick::tick;
