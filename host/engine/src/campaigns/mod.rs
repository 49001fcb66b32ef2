//! Campaigns: made and steered by operators, kept going by the loops.
//!
//! Operators' acts are here, a file each; `tick` looks at one campaign and decides, `reconcile` is the loop that does so
//! for all of them. Plan, check, execute: a plugin proposes, `tidegate_core::checker` checks, the store applies with a
//! compare-and-set, and admitting follows what was applied.

mod approve;
mod calls;
mod create;
mod explain;
mod fleet;
mod going_back;
mod journal;
mod prepare;
mod read;
mod reconcile;
mod start;
mod steps;
mod terms;
mod tick;
mod tries;

pub use approve::approve;
pub(crate) use calls::note_call;
pub use calls::{UsageLog, flush_usage};
pub(crate) use create::choose;
pub use create::{Draft, PluginChoice, create};
pub use explain::{Explanation, Standing, explain};
pub use journal::{Replay, journal, replay};
pub(crate) use prepare::exclusion;
pub use read::{get, list, updates, waves};
pub use reconcile::{deadlines, reconcile};
pub use start::start;
pub use steps::{advance, cancel, change_limits, pause, resume, roll_back};
pub(crate) use terms::{broken_retries, broken_terms};
pub use tick::tick;
