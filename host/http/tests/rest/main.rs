//! The REST API, over a real database and an artifact store in memory. Plugins are scripted.

mod access;
mod access_log;
mod all_errors;
mod authorities;
mod campaigns;
mod devices;
mod document;
mod events;
mod firmware;
mod full_disk;
mod gateways;
mod idempotency;
mod images;
mod logs;
mod metrics;
mod plugins;
mod refusals;
mod request_ids;
mod retries;
mod sandbox;
mod serving;
mod settings;
mod statement_log;
mod statements;
mod test_server;
mod updates;
