//! Campaigns: the part that operators create and change.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod edit;
pub(crate) mod failed_start;
pub(crate) mod intermediate;
pub(crate) mod json;
pub(crate) mod late_devices;
pub(crate) mod membership;
pub(crate) mod read;
pub(crate) mod repin;
mod run_row;
pub(crate) mod start;
pub(crate) mod waves;

#[cfg(test)]
mod tests;

pub(crate) use create::lock_firmware;
pub(crate) use read::campaign;
pub(crate) use run_row::CampaignRunRow;
pub(crate) use waves::{lock_counters, waves, write_advance};
