//! Headers of a trusted proxy, and rate limits for each client address.

use crate::{
    adapter::Capability,
    case::{Case, DeviceState::*},
};

const LIST: &str = "softwaremodules/{module}/artifacts";
const PROXIED_BASE: &str = "https://up.example:8443/ota/{tenant}/controller/v1/{device}";

fn case(name: &str, device_state: crate::case::DeviceState) -> Case {
    Case::new("1.1", name, device_state).requires(Capability::Proxy)
}

pub(super) fn cases() -> Vec<Case> {
    [links(), limits()].concat()
}

/// As a proxy at `https://up.example:8443/ota` passes a request on.
fn through_proxy(case: Case) -> Case {
    case.with_header("Host", "up.example")
        .with_header("X-Forwarded-Proto", "https")
        .with_header("X-Forwarded-Port", "8443")
        .with_header("X-Forwarded-Prefix", "/ota")
}

fn links() -> Vec<Case> {
    vec![
        through_proxy(case("links of a poll lead back through a proxy", Offered).get(""))
            .status(200)
            .contains(
                "/_links/deploymentBase/href",
                &format!("{PROXIED_BASE}/deploymentBase/{{id}}?c="),
            ),
        through_proxy(
            case(
                "a link to a cancellation leads back through a proxy",
                Cancelling,
            )
            .get(""),
        )
        .status(200)
        .json(
            "/_links/cancelAction/href",
            format!("{PROXIED_BASE}/cancelAction/{{id}}"),
        ),
        through_proxy(
            case("links to files lead back through a proxy", Proceeding).get("deploymentBase/{id}"),
        )
        .status(200)
        .json(
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            format!("{PROXIED_BASE}/{LIST}/{{file}}"),
        )
        .json(
            "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
            format!("{PROXIED_BASE}/{LIST}/{{file}}.MD5SUM"),
        ),
        through_proxy(case("a list of files leads back through a proxy", Proceeding).get(LIST))
            .requires(Capability::FileList)
            .status(200)
            .json(
                "/0/_links/download-http/href",
                format!("{PROXIED_BASE}/{LIST}/{{file}}"),
            ),
        through_proxy(
            case("confirmationBase leads back through a proxy", Identified).get("confirmationBase"),
        )
        .status(200)
        .json(
            "/_links/activateAutoConfirm/href",
            format!("{PROXIED_BASE}/confirmationBase/activateAutoConfirm"),
        ),
        case(
            "a proxy's X-Forwarded-Host overrides the request's Host",
            Registered,
        )
        .get("")
        .with_header("X-Forwarded-Proto", "https")
        .with_header("X-Forwarded-Host", "up.example")
        .status(200)
        .json(
            "/_links/configData/href",
            "https://up.example/{tenant}/controller/v1/{device}/configData",
        ),
    ]
}

/// Rate limits for an address outside private networks; a refused request has no body.
fn limits() -> Vec<Case> {
    let limited = |name: &str| case(name, Identified).requires(Capability::RateLimits);
    vec![
        limited("too many writes in a second are 429")
            .put("configData", "{")
            .with_header("X-Forwarded-For", "203.0.113.7")
            .times(80, 40)
            .eventually()
            .status(429)
            .empty()
            .put("configData", r#"{"data": {"site": "dock 7"}}"#)
            .with_header("X-Forwarded-For", "203.0.113.8")
            .status(200)
            .put("configData", r#"{"data": {"site": "dock 7"}}"#)
            .with_header("X-Forwarded-For", "203.0.113.7")
            .eventually()
            .status(200),
        limited("too many reads in a second are 429")
            .get("")
            .with_header("X-Forwarded-For", "203.0.113.9")
            .times(400, 100)
            .eventually()
            .status(429)
            .empty()
            .get("")
            .with_header("X-Forwarded-For", "203.0.113.10")
            .status(200),
    ]
}
