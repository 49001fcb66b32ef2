//! Forwarding headers of trusted proxies. Those of untrusted hops are ignored.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;

/// The trusted proxies, and the headers that they set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    /// Their addresses.
    pub networks: Vec<IpNet>,
    /// The headers that they set. The other kind is ignored: proxies forward headers that they do not know, so a client
    /// could set those itself.
    pub header_format: ProxyHeaders,
}

/// The kind of forwarding headers that proxies set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What trusted proxies report about the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ForwardedInfo {
    /// None if not reported.
    pub(crate) address: Option<IpAddr>,
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    /// Overrides the port in `host`.
    pub(crate) port: Option<u16>,
    /// The path prefix that the proxy strips: empty, or `/` and unreserved segments.
    pub(crate) prefix: String,
}

impl TrustedProxies {
    /// True if the address belongs to a trusted proxy.
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|net| net.contains(&address))
    }

    /// Reads the forwarding headers. Proxies append on the right, so the list is read from the right up to the first
    /// address that is not a trusted proxy's: that is the client. Entries further left come from untrusted hops.
    pub(crate) fn forwarded_info(&self, headers: &HeaderMap) -> ForwardedInfo {
        match self.header_format {
            ProxyHeaders::XForwarded => self.x_forwarded(headers),
            ProxyHeaders::Forwarded => self.forwarded(headers),
        }
    }

    fn x_forwarded(&self, headers: &HeaderMap) -> ForwardedInfo {
        let addresses = list_members(headers, "x-forwarded-for");
        let (address, hops) = self.client_address(addresses.iter().rev().map(|hop| Some(*hop)));
        // Some proxies append to these lists, others overwrite them.
        let value_of = |name: &'static str| {
            let values = list_members(headers, name);
            let at = values
                .len()
                .checked_sub(hops.clamp(1, values.len().max(1)))?;
            values.get(at).map(|value| (*value).to_owned())
        };
        ForwardedInfo {
            address,
            scheme: value_of("x-forwarded-proto"),
            host: value_of("x-forwarded-host"),
            port: value_of("x-forwarded-port").as_deref().and_then(parse_port),
            prefix: value_of("x-forwarded-prefix")
                .as_deref()
                .and_then(parse_prefix)
                .unwrap_or_default(),
        }
    }

    fn forwarded(&self, headers: &HeaderMap) -> ForwardedInfo {
        let elements: Vec<_> = headers
            .get_all(FORWARDED)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| split_unquoted(value, ','))
            .collect();
        let parameter = |element: &str, name: &str| {
            let mut pairs = split_unquoted(element, ';')
                .into_iter()
                .filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            found.map(|(_, value)| unquote(value.trim()))
        };
        let hops: Vec<_> = elements
            .iter()
            .rev()
            .map(|element| parameter(element, "for"))
            .collect();
        let (address, hops) = self.client_address(hops.iter().map(Option::as_deref));
        let value_of = |name| {
            let at = elements.len().checked_sub(hops.max(1))?;
            parameter(elements.get(at)?, name)
        };
        ForwardedInfo {
            address,
            scheme: value_of("proto"),
            host: value_of("host"),
            ..ForwardedInfo::default()
        }
    }

    /// The first address that is not a trusted proxy's, and the number of hops read. An entry that is not an address
    /// ends the search; the last address read is then the client's.
    fn client_address<'a>(
        &self,
        hops: impl Iterator<Item = Option<&'a str>>,
    ) -> (Option<IpAddr>, usize) {
        let mut client = (None, 0);
        for hop in hops {
            let Some(address) = hop.and_then(parse_address) else {
                break;
            };
            client = (Some(address), client.1 + 1);
            if !self.is_trusted(address) {
                break;
            }
        }
        client
    }
}

/// Parses an address with an optional port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Parses a port from 1 to 65535, without a sign.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port > 0);
    port.filter(|_| is_number)
}

/// Maximum length of a prefix: small devices can store only short links.
const MAX_PREFIX_BYTES: usize = 128;

/// Parses an absolute path of unreserved characters, and removes its trailing slash.
pub(crate) fn parse_prefix(text: &str) -> Option<String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.is_empty() || path.len() > MAX_PREFIX_BYTES {
        return None;
    }
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
    let is_good = path.strip_prefix('/')?.split('/').all(is_segment);
    is_good.then(|| path.to_owned())
}

/// The members of a list header, over all its lines.
fn list_members<'a>(headers: &'a HeaderMap, name: &'static str) -> Vec<&'a str> {
    let lines = headers.get_all(HeaderName::from_static(name)).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .collect()
}

/// Splits at separators outside quotes.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(|c| {
        let is_separator = c == separator && !is_quoted;
        if c == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        is_separator
    })
    .collect()
}

fn unquote(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace('\\', ""),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn forwarded_info(
        header_format: ProxyHeaders,
        lines: &[(&'static str, &'static str)],
    ) -> [String; 3] {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a valid network"));
        let proxies = TrustedProxies {
            networks: networks.to_vec(),
            header_format,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let ForwardedInfo {
            address,
            scheme,
            host,
            ..
        } = proxies.forwarded_info(&headers);
        let address = address.map(|address| address.to_string());
        [address, scheme, host].map(Option::unwrap_or_default)
    }

    #[test]
    fn forwarded_headers_are_read_from_the_right() {
        for (lines, expected) in [
            (&[][..], ["", "", ""]),
            (
                &[
                    ("x-forwarded-for", "192.0.2.7"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "gate.example"),
                ],
                ["192.0.2.7", "https", "gate.example"],
            ),
            // A client forges the headers, and the proxy appends the real values.
            (
                &[
                    ("x-forwarded-for", "127.0.0.1, 192.0.2.7"),
                    ("x-forwarded-proto", "gopher, https"),
                    ("x-forwarded-host", "evil.example, gate.example"),
                ],
                ["192.0.2.7", "https", "gate.example"],
            ),
            // Two proxies and two header lines.
            (
                &[
                    ("x-forwarded-for", "1.1.1.1,192.0.2.7"),
                    ("x-forwarded-for", "10.0.0.3"),
                    ("x-forwarded-proto", "https, http"),
                    ("x-forwarded-host", "gate.example"),
                ],
                ["192.0.2.7", "https", "gate.example"],
            ),
            (&[("x-forwarded-for", "10.0.0.3")], ["10.0.0.3", "", ""]),
            (&[("x-forwarded-for", "unknown")], ["", "", ""]),
            (
                &[("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.3")],
                ["10.0.0.3", "", ""],
            ),
            (
                &[("x-forwarded-for", "192.0.2.7:4711")],
                ["192.0.2.7", "", ""],
            ),
            (
                &[("x-forwarded-for", "[2001:db8::7]:4711")],
                ["2001:db8::7", "", ""],
            ),
            (
                &[("x-forwarded-for", "::ffff:192.0.2.7")],
                ["192.0.2.7", "", ""],
            ),
            (&[("x-forwarded-for", ",, ,")], ["", "", ""]),
            (&[("forwarded", "for=192.0.2.7")], ["", "", ""]),
        ] {
            assert_eq!(
                forwarded_info(ProxyHeaders::XForwarded, lines),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn invalid_ports_and_prefixes_are_ignored() {
        for (lines, expected) in [
            (
                &[("x-forwarded-port", "8443"), ("x-forwarded-prefix", "/ota")][..],
                (Some(8443), "/ota"),
            ),
            (
                &[
                    ("x-forwarded-port", "1, 8443"),
                    ("x-forwarded-prefix", "/evil, /a/b-c.d_e~f/"),
                ],
                (Some(8443), "/a/b-c.d_e~f"),
            ),
            (
                &[("x-forwarded-port", "65535"), ("x-forwarded-prefix", "/")],
                (Some(65535), ""),
            ),
            (
                &[("x-forwarded-port", "0"), ("x-forwarded-prefix", "ota")],
                (None, ""),
            ),
            (
                &[
                    ("x-forwarded-port", "65536"),
                    ("x-forwarded-prefix", "/a/../b"),
                ],
                (None, ""),
            ),
            (
                &[
                    ("x-forwarded-port", "+80"),
                    ("x-forwarded-prefix", "//evil.example"),
                ],
                (None, ""),
            ),
            (
                &[("x-forwarded-port", "80x"), ("x-forwarded-prefix", "/a//b")],
                (None, ""),
            ),
            (
                &[("x-forwarded-port", ""), ("x-forwarded-prefix", "/a?b")],
                (None, ""),
            ),
            (&[("x-forwarded-prefix", "/a#b")], (None, "")),
            (&[("x-forwarded-prefix", "/%2e%2e")], (None, "")),
            (&[("x-forwarded-prefix", "/a b")], (None, "")),
            (&[("x-forwarded-prefix", "/.")], (None, "")),
            (
                &[("x-forwarded-prefix", "https://evil.example")],
                (None, ""),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let info = TrustedProxies::default().forwarded_info(&headers);
            assert_eq!((info.port, info.prefix.as_str()), expected, "{lines:?}");
            let other = TrustedProxies {
                header_format: ProxyHeaders::Forwarded,
                ..TrustedProxies::default()
            };
            assert_eq!(
                other.forwarded_info(&headers),
                ForwardedInfo::default(),
                "{lines:?}"
            );
        }
        assert_eq!(
            parse_prefix(&format!("/{}", "a".repeat(MAX_PREFIX_BYTES))),
            None
        );
    }

    #[test]
    fn the_forwarded_header_follows_rfc_7239() {
        for (value, expected) in [
            (
                "for=192.0.2.7;proto=https;host=gate.example",
                ["192.0.2.7", "https", "gate.example"],
            ),
            (
                "For=\"[2001:db8::7]:4711\" ; Proto=https;host=\"gate.example:8443\"",
                ["2001:db8::7", "https", "gate.example:8443"],
            ),
            (
                "for=127.0.0.1;host=evil.example, for=192.0.2.7;host=\"a,b;c\", for=10.0.0.3;host=inner",
                ["192.0.2.7", "", "a,b;c"],
            ),
            ("for=_hidden;proto=https", ["", "https", ""]),
            ("for=\"", ["", "", ""]),
            ("", ["", "", ""]),
        ] {
            let info = forwarded_info(ProxyHeaders::Forwarded, &[("forwarded", value)]);
            assert_eq!(info, expected, "{value}");
        }
        let other = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(
            forwarded_info(ProxyHeaders::Forwarded, &other),
            ["", "", ""]
        );
    }
}
