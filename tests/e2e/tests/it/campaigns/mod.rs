//! Complete campaigns, with devices that use the device API.

mod absence;
mod approval;
mod assignment;
mod canary;
mod changed_devices;
mod commands;
mod confirmation;
mod events;
mod explain;
mod failure_ceiling;
pub(crate) mod move_revision;
mod priority;
mod replay;
mod retries;
mod rollback;
mod statistics;
mod strategies;
mod success_criteria;
mod timeouts;
mod upgrade_path;
