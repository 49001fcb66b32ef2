//! Tests of the device API over real connections, with a real database.

mod allocations;
mod authentication;
mod confirmation;
mod connections;
mod errors;
mod files;
mod http2;
mod http_messages;
mod limits;
mod link_names;
mod nginx;
mod outage;
mod poll_intervals;
mod polls;
mod proxies;
mod raw_http;
mod refused_logins;
mod tcp_peer;
mod test_server;
mod tls;
mod unread_responses;
mod update_types;
mod updates;
mod windows;
