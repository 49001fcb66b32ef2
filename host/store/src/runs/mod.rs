//! Campaigns: the part that the campaign loops run.

pub(crate) mod apply;
pub(crate) mod cancel;
mod commit;
pub(crate) mod due;
pub(crate) mod expire;
pub(crate) mod lease;
pub(crate) mod offer;
pub(crate) mod recheck;
pub(crate) mod rollback;
pub(crate) mod run;
mod skipped;
mod superseded;

#[cfg(test)]
mod tests;

pub(crate) use skipped::{mark_for_recheck, skip_reason};
