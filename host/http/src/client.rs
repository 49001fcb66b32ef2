//! Who is at the other end.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, header::LOCATION, request::Parts};

use crate::{AppState, tls::PeerCertificates};

/// What is known of a connection; the server puts it to each request that comes over it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) is_tls: bool,
    /// What the peer proved to have the key of.
    pub(crate) certificates: Option<Arc<PeerCertificates>>,
}

/// Who asks, seen through the proxies that are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// None where nobody knows, as in tests without a connection.
    pub(crate) address: Option<IpAddr>,
    /// Whether a trusted proxy passed the request on: then its headers may say who the device is.
    pub(crate) is_proxied: bool,
    /// Whether the client's own connection is encrypted.
    pub(crate) is_tls: bool,
    /// For which host it asked, where a proxy says so.
    pub(crate) host: Option<String>,
    /// At which port, where a proxy says so.
    pub(crate) port: Option<u16>,
    /// What stands before the paths of its links: empty, or a path without a slash at its end.
    pub(crate) prefix: String,
    pub(crate) certificates: Option<Arc<PeerCertificates>>,
}

impl Client {
    fn from_request(parts: &Parts, state: &AppState) -> Self {
        let Some(connection) = parts.extensions.get::<Connection>() else {
            return Self::default();
        };
        let peer = connection.peer.ip().to_canonical();
        let proxies = &state.settings.proxies;
        if !proxies.is_trusted(peer) {
            return Self {
                address: Some(peer),
                is_tls: connection.is_tls,
                certificates: connection.certificates.clone(),
                ..Self::default()
            };
        }
        let forwarded_info = proxies.forwarded_info(&parts.headers);
        let is_tls = forwarded_info.scheme.map_or(connection.is_tls, |scheme| {
            scheme.eq_ignore_ascii_case("https")
        });
        Self {
            address: Some(forwarded_info.address.unwrap_or(peer)),
            is_proxied: true,
            is_tls,
            host: forwarded_info.host,
            port: forwarded_info.port,
            prefix: forwarded_info.prefix,
            // A proxy's own certificate is no device's.
            certificates: None,
        }
    }
}

/// Finds out who asks, for whoever needs it further in. A `Location` that is a path leads back through the proxy.
pub(crate) async fn identify_client(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let client = Client::from_request(&parts, &state);
    let prefix = client.prefix.clone();
    parts.extensions.insert(client);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if !prefix.is_empty()
        && let Some(location) = response.headers_mut().get_mut(LOCATION)
        && location.as_bytes().starts_with(b"/")
        && let Ok(prefixed) =
            HeaderValue::try_from([prefix.as_bytes(), location.as_bytes()].concat())
    {
        *location = prefixed;
    }
    response
}
