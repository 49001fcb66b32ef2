//! Settings of connections: proxies, TLS, request limits.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_core::feedback::DEFAULT_FEEDBACK_PER_UPDATE;
use tidegate_http::{
    ClientAuth, ClientCertHeaderNames, HeaderName, InvalidPublicUrl, IpNet, ProxyHeaders,
    PublicUrl, RequestLimitSettings, TlsSettings, TrustedProxies,
};

use super::{ConfigDuration, ConfigError};

/// Proxies in front of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Addresses and networks of trusted proxies.
    pub trusted_proxies: Vec<String>,
    /// Which headers they use for the client's address.
    pub forwarded: Forwarded,
    /// Where clients reach the server; `None`: where their requests were sent.
    pub public_url: Option<String>,
    /// Headers that name the device whose certificate the proxy has verified.
    pub device_headers: Vec<String>,
    /// For each device header, the header that names the certificate's authorities.
    pub authority_headers: Vec<String>,
}

/// The headers in which proxies forward the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix`.
    XForwarded,
    /// RFC 7239.
    Forwarded,
}

/// TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The server's certificate chain, PEM; `None`: plain HTTP.
    pub cert: Option<PathBuf>,
    /// The private key, PEM.
    pub key: Option<PathBuf>,
    /// Whether clients present a certificate.
    pub client_auth: ClientAuthMode,
}

/// Whether clients present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthMode {
    /// Certificates are not requested.
    Off,
    /// Certificates are requested but not required.
    #[default]
    Optional,
    /// Connections without a certificate are rejected.
    Required,
}

/// Limits of requests; 0 means unlimited, except for connections and incomplete requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Read requests per second and client.
    pub reads_per_second: u32,
    /// Other requests per second and client.
    pub writes_per_second: u32,
    /// Whether clients on this machine and in private networks are exempt.
    pub exempt_private_addresses: bool,
    /// Read requests per second and tenant.
    pub tenant_reads_per_second: u32,
    /// Other requests per second and tenant.
    pub tenant_writes_per_second: u32,
    /// Refused logins per minute and address, and per credential.
    pub refused_logins_per_minute: u32,
    /// Concurrent connections.
    pub connections: usize,
    /// Connections of one address that have not sent a whole request, when the limit of all is near; `None`: a quarter of
    /// all.
    pub incomplete_requests_per_address: Option<usize>,
    /// How long a client may receive nothing of a response before the connection is closed.
    pub answer_silence: ConfigDuration,
    /// Concurrent event streams per tenant.
    pub event_streams_per_tenant: usize,
    /// Concurrent reports of devices that wait for the database.
    pub waiting_reports: usize,
    /// Reports that are kept of one update, in addition to the final one.
    pub feedback_per_update: u32,
}

impl Default for Http {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            trusted_proxies: Vec::new(),
            forwarded: Forwarded::XForwarded,
            public_url: None,
            device_headers: names(&["X-Controller-Id", "X-Ssl-Client-Cn"]),
            authority_headers: names(&["X-Authority", "X-Ssl-Issuer-Hash"]),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let limits = RequestLimitSettings::default();
        let serving = tidegate_http::HttpServer::default();
        Self {
            reads_per_second: limits.reads_per_second,
            writes_per_second: limits.writes_per_second,
            exempt_private_addresses: limits.exempt_private,
            tenant_reads_per_second: limits.tenant_reads_per_second,
            tenant_writes_per_second: limits.tenant_writes_per_second,
            refused_logins_per_minute: limits.refused_logins_per_minute,
            connections: serving.max_connections,
            incomplete_requests_per_address: serving.incomplete_per_address,
            answer_silence: ConfigDuration(serving.write_idle_timeout),
            event_streams_per_tenant: limits.event_streams,
            waiting_reports: tidegate_engine::Settings::default().waiting_reports,
            feedback_per_update: DEFAULT_FEEDBACK_PER_UPDATE,
        }
    }
}

impl Http {
    /// The trusted proxies.
    pub fn proxies(&self) -> Result<TrustedProxies, ConfigError> {
        let net = |text: &String| {
            let net = text.parse::<IpNet>();
            let net =
                net.or_else(|error| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| error));
            net.map_err(|_| {
                let why = format!("contains `{text}`, which is not an address or network");
                ConfigError::new("http.trusted_proxies", why)
            })
        };
        Ok(TrustedProxies {
            networks: self
                .trusted_proxies
                .iter()
                .map(net)
                .collect::<Result<_, _>>()?,
            header_format: match self.forwarded {
                Forwarded::XForwarded => ProxyHeaders::XForwarded,
                Forwarded::Forwarded => ProxyHeaders::Forwarded,
            },
        })
    }

    /// Where clients reach the server.
    pub fn public_url(&self) -> Result<Option<PublicUrl>, ConfigError> {
        let parse = |text: &String| {
            text.parse().map_err(|error: InvalidPublicUrl| {
                ConfigError::new("http.public_url", format!("is `{text}`, {error}"))
            })
        };
        self.public_url.as_ref().map(parse).transpose()
    }

    /// The headers that name devices and authorities.
    pub fn certificate_headers(&self) -> Result<ClientCertHeaderNames, ConfigError> {
        let (devices, authorities) = (&self.device_headers, &self.authority_headers);
        if devices.len() != authorities.len() {
            let why = format!(
                "and `http.authority_headers` must have the same length, but have {} and {} entries",
                devices.len(),
                authorities.len()
            );
            return Err(ConfigError::new("http.device_headers", why));
        }
        let name = |key: &str, text: &String| {
            text.parse::<HeaderName>().map_err(|_| {
                let why = format!("contains `{text}`, which is not a header name");
                ConfigError::new(key, why)
            })
        };
        let pairs = devices.iter().zip(authorities).map(|(device, authority)| {
            let device = name("http.device_headers", device)?;
            Ok((device, name("http.authority_headers", authority)?))
        });
        let pairs: Vec<_> = pairs.collect::<Result<_, ConfigError>>()?;
        Ok(ClientCertHeaderNames::new(pairs))
    }
}

impl Tls {
    /// The TLS settings; `None`: plain HTTP.
    pub fn settings(&self) -> Result<Option<TlsSettings>, ConfigError> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsSettings {
                cert: cert.clone(),
                key: key.clone(),
                client_auth: match self.client_auth {
                    ClientAuthMode::Off => ClientAuth::Off,
                    ClientAuthMode::Optional => ClientAuth::Optional,
                    ClientAuthMode::Required => ClientAuth::Required,
                },
            })),
            (Some(_), None) => Err(ConfigError::new("tls.cert", "requires `tls.key`")),
            (None, Some(_)) => Err(ConfigError::new("tls.key", "requires `tls.cert`")),
        }
    }
}

impl Limits {
    /// The request limits.
    pub fn settings(&self) -> RequestLimitSettings {
        RequestLimitSettings {
            reads_per_second: self.reads_per_second,
            writes_per_second: self.writes_per_second,
            exempt_private: self.exempt_private_addresses,
            tenant_reads_per_second: self.tenant_reads_per_second,
            tenant_writes_per_second: self.tenant_writes_per_second,
            refused_logins_per_minute: self.refused_logins_per_minute,
            event_streams: self.event_streams_per_tenant,
            ..RequestLimitSettings::default()
        }
    }

    /// Checks that the types cannot express.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, is_none, least) in [
            ("connections", self.connections == 0, "1"),
            (
                "incomplete_requests_per_address",
                self.incomplete_requests_per_address == Some(0),
                "1",
            ),
            ("waiting_reports", self.waiting_reports == 0, "1"),
            ("feedback_per_update", self.feedback_per_update < 10, "10"),
            ("answer_silence", self.answer_silence.0.as_secs() == 0, "1s"),
        ] {
            if is_none {
                let why = format!("must be at least {least}");
                return Err(ConfigError::new(format!("limits.{key}"), why));
            }
        }
        Ok(())
    }
}
