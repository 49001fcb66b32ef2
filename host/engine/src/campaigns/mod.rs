//! Campaigns: commands of operators, and the loop that drives them.
//!
//! Each command has its own file. `tick` processes one campaign once; `reconcile` is the loop that does so for all.
//! Plan, check, execute: a plugin proposes, `tidegate_core::checker` checks, the store applies the outcome with a
//! compare-and-set, and devices are offered updates from what was applied.

mod advance;
mod approve;
mod commands;
mod create;
mod deadlines;
mod delete;
mod edit;
mod explain;
mod explain_retry;
mod explain_rollback;
mod fleet;
mod join;
mod journal;
mod journal_entry;
mod journal_size;
mod move_revision;
mod prepare;
mod question;
mod read;
mod recheck;
mod reconcile;
mod replay;
mod replay_journal;
mod start;
mod tick;
mod tick_turns;
mod unknown_contracts;
mod update_checks;

pub use advance::{advance, advance_past, await_advance};
pub use approve::{approve, reject};
pub use commands::{
    CHANGED_MEANWHILE, cancel, change_limits, limit_errors, pause, resume, roll_back,
};
pub use create::{CampaignRequest, create, validate};
pub use deadlines::{expire_batch, expire_updates_loop};
pub use delete::delete;
pub use edit::{check_editable, edit, have_compatibility_policy};
pub use explain::{Explanation, MembershipStatus, explain};
pub use join::{join_changed_devices, join_changed_devices_loop};
pub use journal::journal;
pub(crate) use journal_size::remove_old_entries;
pub use move_revision::{MovedCampaign, ReplayCounts, RevisionMove, move_to_revision};
pub use question::question;
pub use read::{detail, get, last_progress_at, list, updates, warnings, waves, waves_of};
pub use recheck::recheck_updates;
pub use reconcile::reconcile;
pub use replay::{NotCompared, Replay, replay};
pub use replay_journal::{JournalReplay, replay_journal};
pub use start::start;
pub use tick::tick;
pub use unknown_contracts::{leave_unknown_contracts, leave_unknown_contracts_loop};
pub use update_checks::{check_updates, check_updates_loop};
