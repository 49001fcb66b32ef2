//! The client of a request, as seen through trusted proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{extract::Request, response::Response};
use http::{HeaderValue, header::LOCATION};

use crate::{AppState, tls::PeerCertificates};

/// Facts about a connection. The server adds them to the extensions of each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// The server's own address, if the system knows it.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) is_tls: bool,
    /// The connection is one of the reserve for operators and probes.
    pub(crate) uses_reserve: bool,
    /// The peer's certificates. It has proven possession of the first one's private key.
    pub(crate) certificates: Option<Arc<PeerCertificates>>,
}

/// The client that sent a request, as seen through trusted proxies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// None if unknown, as in tests without a connection.
    pub(crate) address: Option<IpAddr>,
    /// The server's address that received the request.
    pub(crate) local: Option<SocketAddr>,
    /// True if no device is served on the connection, because it is one of the reserve for operators and probes.
    pub(crate) uses_reserve: bool,
    /// True if a trusted proxy forwarded the request. Its headers may then identify the device.
    pub(crate) is_proxied: bool,
    /// True if the client's own connection is encrypted.
    pub(crate) is_tls: bool,
    /// The host that the client requested, if a proxy reports it.
    pub(crate) host: Option<String>,
    /// The port that the client requested, if a proxy reports it.
    pub(crate) port: Option<u16>,
    /// Prefix for the paths of links: empty, or a path without a trailing slash.
    pub(crate) prefix: String,
    pub(crate) certificates: Option<Arc<PeerCertificates>>,
}

impl Client {
    fn from_request(request: &mut Request, state: &AppState) -> Self {
        // The client replaces the connection, because extensions that exceed their map's capacity cost a larger map.
        let Some(connection) = request.extensions_mut().remove::<Connection>() else {
            return Self::default();
        };
        let peer = connection.peer.ip().to_canonical();
        let proxies = &state.settings.proxies;
        if !proxies.is_trusted(peer) {
            return Self {
                address: Some(peer),
                local: connection.local,
                uses_reserve: connection.uses_reserve,
                is_tls: connection.is_tls,
                certificates: connection.certificates,
                ..Self::default()
            };
        }
        let forwarded_info = proxies.forwarded_info(request.headers());
        let is_tls = forwarded_info.scheme.map_or(connection.is_tls, |scheme| {
            scheme.eq_ignore_ascii_case("https")
        });
        Self {
            address: Some(forwarded_info.address.unwrap_or(peer)),
            local: connection.local,
            uses_reserve: connection.uses_reserve,
            is_proxied: true,
            is_tls,
            host: forwarded_info.host,
            port: forwarded_info.port,
            prefix: forwarded_info.prefix,
            // The connection's certificate is the proxy's, not a device's.
            certificates: None,
        }
    }
}

/// Adds the [`Client`] to the request's extensions. Returns the prefix for the paths of links.
pub(crate) fn identify_client(state: &AppState, request: &mut Request) -> String {
    let client = Client::from_request(request, state);
    let prefix = client.prefix.clone();
    request.extensions_mut().insert(client);
    prefix
}

/// Puts this before a `Location` that is a path: the public URL of the server, or the prefix of a proxy.
pub(crate) fn complete_location(base: &str, response: &mut Response) {
    if !base.is_empty()
        && let Some(location) = response.headers_mut().get_mut(LOCATION)
        && location.as_bytes().starts_with(b"/")
        && let Ok(complete) = HeaderValue::try_from([base.as_bytes(), location.as_bytes()].concat())
    {
        *location = complete;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_begins_with_what_clients_see_of_the_server() {
        for (base, location, expected) in [
            ("", "/api/v1/firmware/1", "/api/v1/firmware/1"),
            ("/ota", "/api/v1/firmware/1", "/ota/api/v1/firmware/1"),
            (
                "https://updates.example/ota",
                "/api/v1/firmware/1",
                "https://updates.example/ota/api/v1/firmware/1",
            ),
            ("/ota", "https://other.example/", "https://other.example/"),
        ] {
            let mut response = Response::default();
            let value = HeaderValue::from_static(location);
            response.headers_mut().insert(LOCATION, value);
            complete_location(base, &mut response);
            assert_eq!(response.headers()[LOCATION], expected);
        }
    }
}
