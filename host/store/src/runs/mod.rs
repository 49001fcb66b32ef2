//! Campaigns: the part that the campaign loops run.

pub(crate) mod accepted_classes;
pub(crate) mod apply;
pub(crate) mod cancel;
pub(crate) mod check;
mod commit;
pub(crate) mod due;
pub(crate) mod expire;
mod installed_classes;
pub(crate) mod join;
pub(crate) mod lease;
mod members;
pub(crate) mod offer;
pub(crate) mod old_entries;
pub(crate) mod outsiders;
pub(crate) mod recheck;
pub(crate) mod retries;
pub(crate) mod rollback;
pub(crate) mod run;
mod skipped;
pub(crate) mod sort;
mod superseded;

#[cfg(test)]
mod tests;

pub(crate) use retries::cancel_retries_of_pinned_device;
pub(crate) use skipped::{mark_for_recheck, skip_reason};
