//! End-to-end tests: whole servers, over HTTP, on SQLite and PostgreSQL.

mod bad_input;
mod campaigns;
mod certificates;
mod commands;
mod crash;
mod ddi;
mod doors;
mod files;
mod firmware;
mod hostile;
mod idempotency;
mod registry;
mod singles;
mod swupdate;
mod tenants;
mod third_party;
mod transfers;
mod two_hosts;
