//! Tidegate's storage: SQLite, embedded, and PostgreSQL, for many hosts at once, from one set of SQL.
//!
//! Every method of the engine's ports is one transaction here. `database` says how transactions are had on either
//! database, `dialect` holds the few places where their SQL differs, `gather` commits many small writes as one.
//!
//! # Architecture invariant
//!
//! Only this crate names sqlx. Every table but `tenants`, and those of files, which tenants
//! share, has a `tenant_id`, every statement names it, and every
//! reference from row to row carries it, so that no row can point into another tenant; a test reads all statements of
//! this crate and fails when one forgets.

mod access;
mod batch_writer;
mod blob;
mod campaigns;
mod database;
mod devices;
mod dialect;
mod error;
mod files;
mod firmware;
mod invalidation;
mod journal;
mod keyed_requests;
mod latest;
mod maintenance_windows;
mod migrations;
mod plugins;
mod rows;
mod runs;
mod selector_sql;
mod sql;
mod stats;
mod store;
mod tenant_counters;
mod tenants;
mod update_options;
mod updates;

#[cfg(test)]
mod tenant_isolation;
#[cfg(test)]
mod test_fixture;
#[cfg(test)]
mod testing;

pub use invalidation::Invalidation;
pub use store::{Options, SqlStore};
