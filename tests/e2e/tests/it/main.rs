//! End-to-end tests: whole servers, over HTTP, on SQLite and PostgreSQL.

mod campaigns;
mod ddi;
mod files;
