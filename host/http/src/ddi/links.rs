use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    net::SocketAddr,
};

use http::{HeaderMap, Uri, header::HOST};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use tidegate_core::{
    firmware::CHECKSUM_SUFFIX,
    id::{ModuleId, UpdateId},
};

use crate::{PublicUrl, client::Client, host::is_host};

/// Characters to escape in a segment copied from the request. `%` is not among them: the segment is already encoded.
const PRESERVED_SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Characters to escape in a new segment: all but the unreserved ones.
const ENCODED_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Builds links to a device's resources, with the scheme, host and path of its own request, or the server's public URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    /// `http://host:port/tenant/controller/v1/device`, with the proxy's prefix before the tenant if there is one.
    base: String,
    /// Position of the tenant in `base`.
    tenant: std::ops::Range<usize>,
}

impl Links {
    /// None if the request has no valid host. `tenant` and `device` are raw segments of its path. The public URL takes
    /// precedence over the values from a trusted proxy, and these over those of the request. A request of HTTP/1.0 may
    /// name no host: then the links have the address that received it.
    pub(super) fn from_request(
        public_url: Option<&PublicUrl>,
        uri: &Uri,
        headers: &HeaderMap,
        client: &Client,
        [tenant, device]: [&str; 2],
    ) -> Option<Self> {
        let mut base = String::with_capacity(128 + tenant.len() + device.len());
        match public_url {
            Some(url) => base.push_str(url.as_str()),
            None => push_requested_url(&mut base, uri, headers, client)?,
        }
        base.push('/');
        let start = base.len();
        base.extend(utf8_percent_encode(tenant, PRESERVED_SEGMENT));
        let tenant = start..base.len();
        base.push_str("/controller/v1/");
        base.extend(utf8_percent_encode(device, PRESERVED_SEGMENT));
        Some(Self { base, tenant })
    }

    /// The link to a resource of the device.
    pub(super) fn to(&self, resource: Resource) -> Link<'_> {
        Link {
            base: &self.base,
            resource,
        }
    }

    /// The link to a file, with the tenant's canonical name.
    pub(super) fn to_file(&self, tenant: &str, module: ModuleId, filename: &str) -> FileLink {
        let (before, after) = (
            &self.base[..self.tenant.start],
            &self.base[self.tenant.end..],
        );
        let tenant = utf8_percent_encode(tenant, ENCODED_SEGMENT);
        let filename = utf8_percent_encode(filename, ENCODED_SEGMENT);
        let path = format!("softwaremodules/{module}/artifacts/{filename}");
        FileLink(format!("{before}{tenant}{after}/{path}"))
    }
}

/// A resource that a device can be linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    /// With DDI's parameter `c`, which changes whenever the update's content does.
    DeploymentBase(UpdateId, i32),
    ConfirmationBase(UpdateId, i32),
    ActivateAutoConfirm,
    DeactivateAutoConfirm,
    CancelAction(UpdateId),
    InstalledBase(UpdateId),
    ConfigData,
}

/// Serialized as `{"href": ...}`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'a> {
    base: &'a str,
    resource: Resource,
}

/// The link to a file; serialized as `{"href": ...}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLink(String);

impl FileLink {
    /// The link to the file's MD5 checksum.
    pub(super) fn md5sum(&self) -> Self {
        Self(format!("{}{CHECKSUM_SUFFIX}", self.0))
    }
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base)?;
        match self.resource {
            Resource::DeploymentBase(update, c) => write!(f, "/deploymentBase/{update}?c={c}"),
            Resource::ConfirmationBase(update, c) => {
                write!(f, "/confirmationBase/{update}?c={c}")
            }
            Resource::ActivateAutoConfirm => f.write_str("/confirmationBase/activateAutoConfirm"),
            Resource::DeactivateAutoConfirm => {
                f.write_str("/confirmationBase/deactivateAutoConfirm")
            }
            Resource::CancelAction(update) => write!(f, "/cancelAction/{update}"),
            Resource::InstalledBase(update) => write!(f, "/installedBase/{update}"),
            Resource::ConfigData => f.write_str("/configData"),
        }
    }
}

impl Serialize for Link<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut link = serializer.serialize_struct("Link", 1)?;
        link.serialize_field("href", &format_args!("{self}"))?;
        link.end()
    }
}

impl Serialize for FileLink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut link = serializer.serialize_struct("Link", 1)?;
        link.serialize_field("href", &self.0)?;
        link.end()
    }
}

/// Appends the URL that the request names: scheme, host, port and the proxy's prefix.
fn push_requested_url(
    base: &mut String,
    uri: &Uri,
    headers: &HeaderMap,
    client: &Client,
) -> Option<()> {
    let host = match (&client.host, uri.authority(), headers.get(HOST)) {
        (Some(host), ..) => Cow::Borrowed(host.as_str()),
        (None, Some(authority), _) => Cow::Borrowed(authority.as_str()),
        (None, None, Some(host)) => Cow::Borrowed(host.to_str().ok()?),
        (None, None, None) => {
            let local = client.local?;
            Cow::Owned(SocketAddr::new(local.ip().to_canonical(), local.port()).to_string())
        }
    };
    if !is_host(&host) {
        return None;
    }
    let (scheme, default_port) = if client.is_tls {
        ("https", 443)
    } else {
        ("http", 80)
    };
    base.push_str(scheme);
    base.push_str("://");
    match client.port {
        None => base.push_str(&host),
        Some(port) => {
            base.push_str(strip_port(&host));
            if port != default_port {
                let _ = write!(base, ":{port}");
            }
        }
    }
    base.push_str(&client.prefix);
    Some(())
}

/// Removes the port of a host.
fn strip_port(host: &str) -> &str {
    let after_address = host.find(']').map_or(0, |end| end + 1);
    let end = host[after_address..].find(':');
    end.map_or(host, |end| &host[..after_address + end])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn links(uri: &'static str, host: &'static str, tenant: &str, device: &str) -> Option<Links> {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        Links::from_request(
            None,
            &Uri::from_static(uri),
            &headers,
            &Client::default(),
            [tenant, device],
        )
    }

    #[test]
    fn links_keep_the_scheme_host_and_path_of_the_request() {
        let links = links("/", "gate.example:8080", "default", "dev%2F1").expect("a host");
        for (resource, expected) in [
            (
                Resource::DeploymentBase(UpdateId(8), -3),
                "deploymentBase/8?c=-3",
            ),
            (
                Resource::ConfirmationBase(UpdateId(8), 3),
                "confirmationBase/8?c=3",
            ),
            (
                Resource::ActivateAutoConfirm,
                "confirmationBase/activateAutoConfirm",
            ),
            (
                Resource::DeactivateAutoConfirm,
                "confirmationBase/deactivateAutoConfirm",
            ),
            (Resource::CancelAction(UpdateId(8)), "cancelAction/8"),
            (Resource::InstalledBase(UpdateId(7)), "installedBase/7"),
            (Resource::ConfigData, "configData"),
        ] {
            let base = "http://gate.example:8080/default/controller/v1/dev%2F1";
            assert_eq!(links.to(resource).to_string(), format!("{base}/{expected}"));
        }
        let file = links.to_file("DEFAULT", ModuleId(3), "a b#ü.bin");
        let path = "DEFAULT/controller/v1/dev%2F1/softwaremodules/3/artifacts/a%20b%23%C3%BC.bin";
        assert_eq!(file.0, format!("http://gate.example:8080/{path}"));
        assert_eq!(
            file.md5sum().0,
            format!("http://gate.example:8080/{path}.MD5SUM")
        );
    }

    #[test]
    fn device_input_is_escaped_in_links() {
        let links = links("/", "h", "a\"b", "c\\{d}|ü^`<>").expect("a host");
        assert_eq!(
            links.base,
            "http://h/a%22b/controller/v1/c%5C%7Bd%7D%7C%C3%BC%5E%60%3C%3E"
        );
    }

    #[test]
    fn the_uri_authority_takes_precedence_over_the_host_header() {
        let links = links("https://real.example/x", "other", "T", "d").expect("a host");
        assert_eq!(
            links.base, "http://real.example/T/controller/v1/d",
            "the scheme follows the connection, not the request"
        );
    }

    #[test]
    fn the_proxys_host_takes_precedence_over_both() {
        let client = Client {
            is_tls: true,
            host: Some("gate.example:8443".to_owned()),
            ..Client::default()
        };
        let of = |client| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("inner"))]);
            let links =
                Links::from_request(None, &Uri::from_static("/"), &headers, client, ["T", "d"]);
            links.map(|links| links.base)
        };
        let base = "https://gate.example:8443/T/controller/v1/d";
        assert_eq!(of(&client).as_deref(), Some(base));
        let evil = Client {
            host: Some("a/b".to_owned()),
            ..client.clone()
        };
        assert_eq!(of(&evil), None);
    }

    #[test]
    fn the_proxys_port_replaces_the_hosts() {
        for (host, is_tls, port, expected) in [
            ("up.example", true, 8443, "https://up.example:8443"),
            ("up.example:8080", true, 8443, "https://up.example:8443"),
            ("up.example:8080", true, 443, "https://up.example"),
            ("up.example", false, 443, "http://up.example:443"),
            ("up.example:8080", false, 80, "http://up.example"),
            ("[::1]:8080", true, 8443, "https://[::1]:8443"),
            ("[::1]", true, 8443, "https://[::1]:8443"),
        ] {
            let client = Client {
                is_tls,
                port: Some(port),
                prefix: "/ota".to_owned(),
                ..Client::default()
            };
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let links = Links::from_request(
                None,
                &Uri::from_static("/"),
                &headers,
                &client,
                ["default", "d"],
            );
            let links = links.expect("a host");
            assert_eq!(
                links.base,
                format!("{expected}/ota/default/controller/v1/d"),
                "{host}"
            );
            assert_eq!(
                links.to_file("DEFAULT", ModuleId(3), "a.bin").0,
                format!("{expected}/ota/DEFAULT/controller/v1/d/softwaremodules/3/artifacts/a.bin")
            );
        }
    }
}
