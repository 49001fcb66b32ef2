use std::{fmt, str::FromStr};

use crate::{forwarded::parse_prefix, host::is_host};

/// The URL under which clients reach the server: scheme, host, an optional port, and the path prefix of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// Without a trailing slash.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidPublicUrl)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let prefix = match path {
            "" | "/" => String::new(),
            path => parse_prefix(path).ok_or(InvalidPublicUrl)?,
        };
        if !matches!(scheme, "http" | "https") || !is_host(host) {
            return Err(InvalidPublicUrl);
        }
        Ok(Self(format!("{scheme}://{host}{prefix}")))
    }
}

impl fmt::Display for InvalidPublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a URL such as https://updates.example.com or https://example.com:8443/ota")
    }
}

impl std::error::Error for InvalidPublicUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_a_host_and_a_prefix() {
        for (text, expected) in [
            ("https://gate.example", "https://gate.example"),
            ("http://10.0.0.1:8080/", "http://10.0.0.1:8080"),
            ("https://[::1]:8443/ota/", "https://[::1]:8443/ota"),
        ] {
            let url = text.parse::<PublicUrl>().expect("a URL");
            assert_eq!(url.as_str(), expected);
        }
        for text in [
            "",
            "gate.example",
            "ftp://gate.example",
            "https://",
            "https:///ota",
            "https://user@gate.example",
            "https://gate.example?a",
            "https://gate.example/a?b",
            "https://gate.example/a/../b",
            "https://gate.example#a",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }
}
