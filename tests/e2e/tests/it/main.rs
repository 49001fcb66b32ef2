//! End-to-end tests: whole servers, over HTTP, on SQLite and PostgreSQL.

mod bad_input;
mod campaigns;
mod ddi;
mod files;
mod tenants;
mod third_party;
