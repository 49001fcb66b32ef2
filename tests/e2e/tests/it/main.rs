//! End-to-end tests: whole servers, over HTTP, on SQLite and PostgreSQL.

mod audit;
mod authorization;
mod bad_input;
mod built_ins;
mod campaigns;
mod certificates;
mod clocks;
mod commands;
mod crash;
mod ddi;
mod failover;
mod firmware;
mod hostile;
mod idempotency;
mod locked_rows;
mod log_output;
mod refusals;
mod registry;
mod single_updates;
mod swupdate;
mod tenants;
mod third_party;
mod transfers;
mod two_servers;
mod unreadable_files;
mod zephyr;
