//! Resource 1: the poll.

use reqwest::Method;

use super::case::{Case, Standing::*, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "the first poll registers a device and asks for its attributes",
            Unknown,
        )
        .get("")
        .is(200)
        .json("/config/polling/sleep", "00:05:00")
        .json("/_links/configData/href", "{base}/configData")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase")
        .lacks("/_links/installedBase"),
        case("attributes are asked for until they come", Known)
            .get("")
            .is(200)
            .has("/_links/configData"),
        case("without anything to do there are no links", Introduced)
            .get("")
            .is(200)
            .lacks("/_links"),
        case(
            "an update is offered by one link, with its id and a c",
            Offered,
        )
        .get("")
        .is(200)
        .contains(
            "/_links/deploymentBase/href",
            "{base}/deploymentBase/{id}?c=",
        )
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase"),
        case("c is a number of 32 bits", Offered)
            .get("")
            .is(200)
            .that("c", |answer| {
                let href = answer.json()?["_links"]["deploymentBase"]["href"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                href.rsplit("?c=")
                    .next()
                    .unwrap_or_default()
                    .parse::<i32>()?;
                Ok(())
            }),
        case("c changes when the update does", Offered)
            .get("")
            .is(200)
            .post(
                "deploymentBase/{id}/feedback",
                super::feedback::body("proceeding", "none"),
            )
            .is(200)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(200),
        case("a call back takes the place of the offer", CalledBack)
            .get("")
            .is(200)
            .json("/_links/cancelAction/href", "{base}/cancelAction/{id}")
            .lacks("/_links/deploymentBase"),
        case("after a call back is agreed to, nothing is left", Cancelled)
            .get("")
            .is(200)
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
        case(
            "what is installed has a link, and attributes are asked for again",
            Done,
        )
        .get("")
        .is(200)
        .contains("/_links/installedBase/href", "{base}/installedBase/{id}")
        .has("/_links/configData")
        .lacks("/_links/deploymentBase"),
        case("what failed is not installed", Failed)
            .get("")
            .is(200)
            .lacks("/_links/installedBase")
            .lacks("/_links/deploymentBase"),
        case("another method is refused", Introduced)
            .send(Method::POST, "")
            .is(405),
        case("another method is refused too", Introduced)
            .send(Method::DELETE, "")
            .is(405),
        case("a name of 256 characters is one", Unknown)
            .get(&format!("/{{tenant}}/controller/v1/{}", "x".repeat(256)))
            .is(200),
        case("a name of 257 characters is none", Unknown)
            .get(&format!("/{{tenant}}/controller/v1/{}", "x".repeat(257)))
            .is(400),
        case("white space is no part of a name", Unknown)
            .get("/{tenant}/controller/v1/a%20b")
            .is(400),
        case("a control character is no part of a name", Unknown)
            .get("/{tenant}/controller/v1/a%00b")
            .is(400),
        case("a name may hold what is percent-encoded", Unknown)
            .get("/{tenant}/controller/v1/%C3%BC%2Fb")
            .is(200)
            .contains(
                "/_links/configData/href",
                "/controller/v1/%C3%BC%2Fb/configData",
            ),
        case("a name that is no UTF-8 is none", Unknown)
            .get("/{tenant}/controller/v1/%FF")
            .one_of(&[400, 404]),
        case(
            "the case of the tenant's name does not matter, and links echo it",
            Offered,
        )
        .get("/{lower}/controller/v1/{device}")
        .is(200)
        .contains(
            "/_links/deploymentBase/href",
            "{server}/{lower}/controller/v1/{device}/deploymentBase/{id}?c=",
        )
        .get("/{lower}/controller/v1/{device}/deploymentBase/{id}")
        .is(200)
        .contains(
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            "{server}/{tenant}/controller/v1/{device}/softwaremodules/",
        ),
        case("links lead where the device asked", Offered)
            .get("")
            .with("Host", "updates.example.com:8443")
            .is(200)
            .contains(
                "/_links/deploymentBase/href",
                "http://updates.example.com:8443/{tenant}/",
            ),
        case(
            "links do not lead where somebody says who is no proxy",
            Offered,
        )
        .get("")
        .with("X-Forwarded-Host", "evil.example.com")
        .with("X-Forwarded-Proto", "https")
        .with("Forwarded", "host=evil.example.com;proto=https")
        .is(200)
        .contains("/_links/deploymentBase/href", "{base}/"),
        case("there is nothing beside the resources", Introduced)
            .get("nonsense")
            .is(404),
    ]
}
