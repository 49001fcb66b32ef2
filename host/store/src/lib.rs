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
mod campaigns;
mod changes;
mod database;
mod devices;
mod dialect;
mod error;
mod files;
mod firmware;
mod gather;
mod journal;
mod keyed_requests;
mod latest;
mod migrations;
mod open;
mod packed;
mod plugins;
mod rows;
mod runs;
mod selector_sql;
mod sql;
mod stats;
mod tallies;
mod tenants;
mod terms;
mod updates;
mod windows;

#[cfg(test)]
mod scene;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod testing;

pub use changes::DeviceChange;
pub use open::{Options, SqlStore};
