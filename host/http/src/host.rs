//! The host that a request names.

use axum::extract::Request;
use http::{Version, header::HOST};

/// Whether the request has as many `Host` headers as its version of HTTP requires: exactly one with HTTP/1.1, otherwise
/// at most one (RFC 9112, section 3.2). A proxy and a server that read different ones enable request smuggling.
pub(crate) fn names_one_host(request: &Request) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    if request.version() == Version::HTTP_11 {
        hosts == 1
    } else {
        hosts <= 1
    }
}

/// True for a name or an address with an optional port, and without any other character that has a meaning in a URL.
pub(crate) fn is_host(text: &str) -> bool {
    let end = match text.find(']') {
        Some(end) => end + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let is_port = match port.strip_prefix(':') {
        Some("") => true,
        Some(digits) => {
            digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    let is_literal = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_good = if let Some(rest) = host.strip_prefix('[') {
        let address = rest.strip_suffix(']').unwrap_or_default();
        !address.is_empty() && address.bytes().all(is_literal)
    } else {
        host.bytes().all(is_plain)
    };
    is_good && is_port && (1..=255).contains(&host.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_validated() {
        for (host, good) in [
            ("localhost", true),
            ("gate.example:8080", true),
            ("10.0.0.1:1", true),
            ("[::1]:8080", true),
            ("[fe80::1]", true),
            ("my_host", true),
            ("", false),
            (":80", false),
            ("a:b", false),
            ("a:123456", false),
            ("a:65536", false),
            ("user@host", false),
            ("a/b", false),
            ("a\"b", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[g]", false),
            ("[]", false),
        ] {
            assert_eq!(is_host(host), good, "{host}");
        }
    }
}
