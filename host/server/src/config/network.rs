//! Who comes in how, and how often.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_http::{
    ClientAuth, ClientCertHeaderNames, HeaderName, IpNet, ProxyHeaders, RequestLimitSettings,
    TlsSettings, TrustedProxies,
};

use super::{ConfigDuration, ConfigError};

/// Proxies in front of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Addresses and networks of proxies that are believed.
    pub trusted_proxies: Vec<String>,
    /// How they say for whom they ask.
    pub forwarded: Forwarded,
    /// Headers in which they name a device whose certificate they have checked.
    pub device_headers: Vec<String>,
    /// For each of those, the header that names the certificate's authorities.
    pub authority_headers: Vec<String>,
}

/// How proxies say for whom they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix`.
    XForwarded,
    /// RFC 7239.
    Forwarded,
}

/// Encrypted connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The server's certificate with those behind it, PEM; none: plain HTTP.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuthMode,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthMode {
    /// No.
    Off,
    /// Those that have one show it.
    #[default]
    Optional,
    /// Nobody connects without.
    Required,
}

/// How much may be asked for; 0 is no limit, but for connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Reading requests a second of one client.
    pub reads_per_second: u32,
    /// Other requests a second of one client.
    pub writes_per_second: u32,
    /// Whether clients on this host and in private networks have no limit.
    pub exempt_private_addresses: bool,
    /// Reading requests a second of one tenant.
    pub tenant_reads_per_second: u32,
    /// Other requests a second of one tenant.
    pub tenant_writes_per_second: u32,
    /// Connections at once.
    pub connections: usize,
    /// For how long a client may take nothing of an answer.
    pub answer_silence: ConfigDuration,
    /// Event streams of one tenant at once.
    pub event_streams_per_tenant: usize,
    /// Reports of devices that wait for the database at once.
    pub waiting_reports: usize,
}

impl Default for Http {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            trusted_proxies: Vec::new(),
            forwarded: Forwarded::XForwarded,
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
            connections: serving.max_connections,
            answer_silence: ConfigDuration(serving.write_idle_timeout),
            event_streams_per_tenant: limits.event_streams,
            waiting_reports: tidegate_engine::Settings::default().waiting_reports,
        }
    }
}

impl Http {
    /// The proxies that are believed.
    pub fn proxies(&self) -> Result<TrustedProxies, ConfigError> {
        let net = |text: &String| {
            let net = text.parse::<IpNet>();
            let net =
                net.or_else(|error| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| error));
            net.map_err(|_| {
                let why = format!("has `{text}`, which is no address and no network");
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

    /// The headers in which they name devices.
    pub fn certificate_headers(&self) -> Result<ClientCertHeaderNames, ConfigError> {
        let (devices, authorities) = (&self.device_headers, &self.authority_headers);
        if devices.len() != authorities.len() {
            let why = format!(
                "and `http.authority_headers` must be as many, and are {} and {}",
                devices.len(),
                authorities.len()
            );
            return Err(ConfigError::new("http.device_headers", why));
        }
        let name = |key: &str, text: &String| {
            text.parse::<HeaderName>().map_err(|_| {
                let why = format!("has `{text}`, which is no name of a header");
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
    /// None: plain HTTP.
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
            (Some(_), None) => Err(ConfigError::new("tls.cert", "goes together with `tls.key`")),
            (None, Some(_)) => Err(ConfigError::new("tls.key", "goes together with `tls.cert`")),
        }
    }
}

impl Limits {
    /// What may be asked for.
    pub fn settings(&self) -> RequestLimitSettings {
        RequestLimitSettings {
            reads_per_second: self.reads_per_second,
            writes_per_second: self.writes_per_second,
            exempt_private: self.exempt_private_addresses,
            tenant_reads_per_second: self.tenant_reads_per_second,
            tenant_writes_per_second: self.tenant_writes_per_second,
            event_streams: self.event_streams_per_tenant,
            ..RequestLimitSettings::default()
        }
    }

    /// What the types alone cannot say.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, is_none, least) in [
            ("connections", self.connections == 0, "1"),
            ("waiting_reports", self.waiting_reports == 0, "1"),
            (
                "answer_silence",
                self.answer_silence.0.as_secs() == 0,
                "a second",
            ),
        ] {
            if is_none {
                let why = format!("must be at least {least}");
                return Err(ConfigError::new(format!("limits.{key}"), why));
            }
        }
        Ok(())
    }
}
