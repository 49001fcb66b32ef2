//! The storage of Tidegate: SQLite (embedded) and PostgreSQL (for several servers), from one set of SQL statements.
//!
//! `store` implements the engine's ports with the functions of the modules for their tables, which know the database
//! and not the store. Each method of a port runs in one transaction. `database` opens transactions on either database,
//! `dialect` contains the places where the SQL differs, `batcher` combines many small operations into one transaction.
//!
//! # Architecture invariant
//!
//! Only this crate uses sqlx. Every table has a `tenant_id`, except `tenants`, and the tables of files and of the
//! reporting clock, which tenants share. Every statement names the `tenant_id`, and every foreign key contains it, so
//! that a row cannot refer to another tenant. The tests in `tenant_isolation` read all statements of this crate and
//! check this.

mod access;
mod attribute_changes;
mod audit;
mod batcher;
mod blob;
mod campaigns;
mod changed_devices;
mod database;
mod database_health;
mod devices;
mod dialect;
mod error;
mod file_leases;
mod firmware;
mod invalidation;
mod journal;
mod json_row;
mod keyed_requests;
mod last_use;
mod latest;
mod maintenance_windows;
mod migrations;
mod plugins;
mod reporting_clock;
mod rows;
mod runs;
mod selector_json;
mod selector_sql;
mod sql;
mod stats;
mod store;
mod tenant_counters;
mod tenants;
mod time_limits;
mod update_options;
mod updates;

#[cfg(test)]
mod tenant_isolation;
#[cfg(any(test, feature = "test-database"))]
pub mod test_database;
#[cfg(test)]
mod test_fixture;
#[cfg(test)]
mod testing;

pub use invalidation::Invalidation;
pub use store::{Options, SqlStore};
pub use time_limits::TimeLimits;
