//! Headers in which a trusted proxy reports the client certificate that it has verified.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Maximum number of numbered headers per name.
const MAX_NUMBERED_HEADERS: usize = 32;

/// Names of the headers in which trusted proxies identify a device and the authorities of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertHeaderNames {
    header_pairs: Vec<HeaderPair>,
}

/// The names of the headers for a device and for its authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HeaderPair {
    device: HeaderName,
    /// The name itself, then with the suffixes `-0`, `-1`, ...
    authorities: Vec<HeaderName>,
}

/// The values that a proxy reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertHeaders<'a> {
    pub(crate) device_id: &'a str,
    pub(crate) authorities: Vec<&'a str>,
}

impl Default for ClientCertHeaderNames {
    /// `X-Controller-Id` with `X-Authority`, and `X-Ssl-Client-Cn` with `X-Ssl-Issuer-Hash`.
    fn default() -> Self {
        let name = HeaderName::from_static;
        Self::new([
            (name("x-controller-id"), name("x-authority")),
            (name("x-ssl-client-cn"), name("x-ssl-issuer-hash")),
        ])
    }
}

impl ClientCertHeaderNames {
    /// Pairs of a device header and an authority header. The latter may be numbered: `X-Authority`, `X-Authority-0`,
    /// `X-Authority-1`, ...
    pub fn new(header_pairs: impl IntoIterator<Item = (HeaderName, HeaderName)>) -> Self {
        let header_pair = |(device, authority): (HeaderName, HeaderName)| {
            let numbered =
                (0..MAX_NUMBERED_HEADERS).filter_map(|n| format!("{authority}-{n}").parse().ok());
            HeaderPair {
                device,
                authorities: [authority.clone()].into_iter().chain(numbered).collect(),
            }
        };
        Self {
            header_pairs: header_pairs.into_iter().map(header_pair).collect(),
        }
    }

    /// Reads the headers. None if they are absent, repeated, of both pairs, or name authorities both with and without
    /// numbers: the proxy may then have appended to headers of the client instead of overwriting them.
    pub(crate) fn parse<'a>(&self, headers: &'a HeaderMap) -> Option<ClientCertHeaders<'a>> {
        let mut parsed = None;
        for pair in &self.header_pairs {
            let mut values = headers.get_all(&pair.device).iter();
            let Some(device_id) = values.next() else {
                continue;
            };
            if values.next().is_some() || parsed.is_some() {
                return None;
            }
            let lines = pair.authorities.iter().map(|name| headers.get_all(name));
            let lines: Vec<Vec<_>> = lines.map(|lines| lines.iter().collect()).collect();
            let is_plain = !lines[0].is_empty();
            let is_numbered = lines[1..].iter().any(|lines| !lines.is_empty());
            if (is_plain && is_numbered) || lines.iter().any(|lines| lines.len() > 1) {
                return None;
            }
            let listed = lines
                .iter()
                .flatten()
                .copied()
                .filter_map(text)
                .flat_map(|list| list.split([';', ',']))
                .map(str::trim)
                .filter(|authority| !authority.is_empty());
            parsed = Some(ClientCertHeaders {
                device_id: text(device_id)?,
                authorities: listed.collect(),
            });
        }
        parsed
    }
}

impl ClientCertHeaders<'_> {
    /// True if the certificate is for this device and from one of these authorities, which are compared ignoring ASCII
    /// case.
    pub(crate) fn identifies(&self, device_id: &str, authorities: &[String]) -> bool {
        let is_trusted = |authority: &&str| {
            let mut trusted = authorities.iter();
            trusted.any(|trusted| trusted.eq_ignore_ascii_case(authority))
        };
        self.device_id == device_id && self.authorities.iter().any(is_trusted)
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_identified(lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a valid value");
            headers.append(*name, value);
        }
        let trusted = ["AB:CD".to_owned(), "plant".to_owned()];
        let header_names = ClientCertHeaderNames::default();
        let named = header_names.parse(&headers);
        named.is_some_and(|named| named.identifies("gerät-1", &trusted))
    }

    #[test]
    fn a_device_is_named_with_its_authority_in_either_header_pair() {
        let device = ("x-controller-id", "gerät-1");
        let old = ("x-ssl-client-cn", "gerät-1");
        for (lines, good) in [
            (&[device, ("x-authority", "plant")][..], true),
            (&[device, ("x-authority", "other; ab:cd ,x")], true),
            (&[device, ("x-authority", "OTHER,Plant")], true),
            (
                &[device, ("x-authority-0", "x"), ("x-authority-1", "plant")],
                true,
            ),
            (&[device, ("x-authority-1", "plant")], true),
            (&[old, ("x-ssl-issuer-hash-1", "AB:CD")], true),
            (&[old, ("x-ssl-issuer-hash", "x;AB:CD")], true),
            // No device, another device, no trusted authority.
            (&[], false),
            (&[("x-authority", "plant")], false),
            (
                &[("x-controller-id", "gerät-2"), ("x-authority", "plant")],
                false,
            ),
            (
                &[("x-controller-id", "Gerät-1"), ("x-authority", "plant")],
                false,
            ),
            (&[device], false),
            (&[device, ("x-authority", "")], false),
            (&[device, ("x-authority", "plan")], false),
            (&[device, ("x-authority", "plant2")], false),
            (&[device, ("x-authority-32", "plant")], false),
            // Headers of the other pair, or repeated ones.
            (&[device, ("x-ssl-issuer-hash-1", "plant")], false),
            (&[device, device, ("x-authority", "plant")], false),
            (
                &[device, ("x-authority", "x"), ("x-authority", "plant")],
                false,
            ),
            (
                &[device, ("x-authority", "x"), ("x-authority-0", "plant")],
                false,
            ),
            (&[device, old, ("x-authority", "plant")], false),
        ] {
            assert_eq!(is_identified(lines), good, "{lines:?}");
        }
    }
}
