//! Protection of the development mode against DNS rebinding: a page of another host makes a browser on this machine send
//! requests to the server under that host's name, and reads the responses.

use std::net::IpAddr;

use axum::extract::Request;
use http::{StatusCode, Version, header::HOST, uri::Authority};

use crate::problem::Problem;

/// The response to a request that names another host than this machine.
pub(crate) fn not_loopback() -> Problem {
    let detail = "in development mode (--dev) the host of a request must be localhost or a loopback address, unless the \
                  server was started with --allow-dev-on-network";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "not_loopback", detail)
}

/// True if every name of the host in the request is one of this machine, and there is one. A request of HTTP/1.0 may have
/// none: browsers send one in all requests.
pub(crate) fn names_loopback_host(request: &Request) -> bool {
    let in_uri = request.uri().authority().map(|host| Some(host.as_str()));
    let in_headers = request.headers().get_all(HOST).iter();
    let mut hosts = in_uri
        .into_iter()
        .chain(in_headers.map(|host| host.to_str().ok()))
        .peekable();
    let may_be_absent = request.version() < Version::HTTP_11;
    (may_be_absent || hosts.peek().is_some())
        && hosts.all(|host| host.is_some_and(is_loopback_host))
}

/// True for `localhost`, a name below it, and an address of a loopback interface, with or without a port.
fn is_loopback_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Ok(address) = address.unwrap_or(host).parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local && !text.contains('@')
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_accepted(uri: &str, hosts: &[&str]) -> bool {
        let request = hosts
            .iter()
            .fold(Request::builder().uri(uri), |request, host| {
                request.header(HOST, *host)
            });
        names_loopback_host(&request.body(Body::empty()).expect("a request"))
    }

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "tidegate.localhost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_accepted("/", &[host]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "user@localhost",
            "127.0.0.1.evil.example",
            "10.0.0.1:8080",
            "0.0.0.0:8080",
            "[::]",
            "[2001:db8::1]:8080",
        ] {
            assert!(!is_accepted("/", &[host]), "{host}");
        }
    }

    #[test]
    fn a_request_of_http_1_0_may_name_no_host() {
        let of = |version| {
            let request = Request::builder().uri("/").version(version);
            names_loopback_host(&request.body(Body::empty()).expect("a request"))
        };
        assert!(of(Version::HTTP_10));
        assert!(!of(Version::HTTP_11) && !of(Version::HTTP_2));
    }

    #[test]
    fn every_name_in_the_request_counts() {
        assert!(!is_accepted("/", &[]));
        assert!(!is_accepted("/", &["localhost", "evil.example"]));
        assert!(is_accepted("http://localhost/", &[]));
        assert!(!is_accepted("http://evil.example/", &["localhost"]));
        assert!(!is_accepted("http://localhost/", &["evil.example"]));
    }
}
