//! Tidegate's HTTP interfaces: the device API (DDI) at `/{tenant}/controller/v1/{device}`, the REST API at `/api/v1`,
//! probes and metrics.
//!
//! # Architecture invariant
//!
//! Handlers only translate: each parses a request, calls one use case of the engine and writes a response. Wire types
//! exist only here, and one module turns every failure of the REST API into `application/problem+json`.

mod access_log;
mod api;
mod bearer;
mod body_timeout;
mod caller;
mod client;
mod client_cert_headers;
mod connections;
mod content_coding;
mod ddi;
mod default_headers;
mod etag;
mod field_names;
mod file;
mod forwarded;
mod host;
mod limits;
mod loopback_host;
mod metrics;
mod metrics_endpoint;
mod observe;
mod observed_body;
mod observed_stream;
mod own_task;
mod probes;
mod problem;
mod public_url;
mod refused_logins;
mod request_id;
mod request_span;
mod rest;
mod route;
mod running_request;
mod serve;
mod state;
mod stream_credentials;
mod tls;
mod tls_failure;
mod tokens;
mod unread_body;
mod x509;

pub use http::HeaderName;
pub use ipnet::IpNet;

pub use api::HttpApi;
pub use client_cert_headers::ClientCertHeaderNames;
pub use forwarded::{ProxyHeaders, TrustedProxies};
pub use limits::{RequestLimitSettings, Uptime};
pub use metrics::{Metrics, PluginLabels};
pub use public_url::{InvalidPublicUrl, PublicUrl};
pub use request_span::DEVICE_REQUEST_TARGET;
pub use rest::openapi;
pub use running_request::{DeviceRequest, running_device_request};
pub use serve::HttpServer;
pub use state::{AppState, HttpSettings, MetricsAccess};
pub use tls::{ClientAuth, Tls, TlsError, TlsSettings};
pub use tokens::TokenSettings;
