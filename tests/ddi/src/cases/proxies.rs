//! What a proxy that is trusted says of the client, and what each client may ask for.

use crate::{
    adapter::Need,
    case::{Case, Standing::*},
};

const LIST: &str = "softwaremodules/{module}/artifacts";
const BEHIND: &str = "https://up.example:8443/ota/{tenant}/controller/v1/{device}";

fn case(name: &str, standing: crate::case::Standing) -> Case {
    Case::new("1.1", name, standing).needing(Need::Proxy)
}

pub(super) fn cases() -> Vec<Case> {
    [links(), limits()].concat()
}

/// As a proxy at `https://up.example:8443/ota` passes a request on.
fn passed_on(case: Case) -> Case {
    case.with("Host", "up.example")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Port", "8443")
        .with("X-Forwarded-Prefix", "/ota")
}

fn links() -> Vec<Case> {
    vec![
        passed_on(case("links of a poll lead back through a proxy", Offered).get(""))
            .is(200)
            .contains(
                "/_links/deploymentBase/href",
                &format!("{BEHIND}/deploymentBase/{{id}}?c="),
            ),
        passed_on(
            case(
                "a link to a call back leads back through a proxy",
                CalledBack,
            )
            .get(""),
        )
        .is(200)
        .json(
            "/_links/cancelAction/href",
            format!("{BEHIND}/cancelAction/{{id}}"),
        ),
        passed_on(
            case("links to files lead back through a proxy", Busy).get("deploymentBase/{id}"),
        )
        .is(200)
        .json(
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            format!("{BEHIND}/{LIST}/{{file}}"),
        )
        .json(
            "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
            format!("{BEHIND}/{LIST}/{{file}}.MD5SUM"),
        ),
        passed_on(case("a list of files leads back through a proxy", Busy).get(LIST))
            .needing(Need::FileList)
            .is(200)
            .json(
                "/0/_links/download-http/href",
                format!("{BEHIND}/{LIST}/{{file}}"),
            ),
        passed_on(
            case("confirmationBase leads back through a proxy", Introduced).get("confirmationBase"),
        )
        .is(200)
        .json(
            "/_links/activateAutoConfirm/href",
            format!("{BEHIND}/confirmationBase/activateAutoConfirm"),
        ),
        case(
            "the host that a proxy names goes before the request's",
            Known,
        )
        .get("")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Host", "up.example")
        .is(200)
        .json(
            "/_links/configData/href",
            "https://up.example/{tenant}/controller/v1/{device}/configData",
        ),
    ]
}

/// Requests of one address outside private networks; what is refused has no body.
fn limits() -> Vec<Case> {
    let limited = |name: &str| case(name, Introduced).needing(Need::Limits);
    vec![
        limited("who says too much in a second is told so")
            .put("configData", "{")
            .with("X-Forwarded-For", "203.0.113.7")
            .times(80, 40)
            .soon()
            .is(429)
            .empty()
            .put("configData", r#"{"data": {"site": "dock 7"}}"#)
            .with("X-Forwarded-For", "203.0.113.8")
            .is(200)
            .put("configData", r#"{"data": {"site": "dock 7"}}"#)
            .with("X-Forwarded-For", "203.0.113.7")
            .soon()
            .is(200),
        limited("who asks too much in a second is told so")
            .get("")
            .with("X-Forwarded-For", "203.0.113.9")
            .times(400, 100)
            .soon()
            .is(429)
            .empty()
            .get("")
            .with("X-Forwarded-For", "203.0.113.10")
            .is(200),
    ]
}
