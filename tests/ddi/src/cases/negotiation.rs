//! Formats, parameters and framing, where one resource is enough to see it.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use super::say;
use crate::{
    adapter::Need,
    case::{Case, Framing, Standing, Standing::*},
};

const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, standing: Standing) -> Case {
    Case::new("1.1", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    [accepted(), sent(), framed(), known(), tenants(), refused()].concat()
}

fn accepted() -> Vec<Case> {
    let table = [
        ("*/*", Some("application/hal+json")),
        ("application/*", Some("application/hal+json")),
        (
            "application/json, application/hal+json;q=0.1",
            Some("application/json"),
        ),
        (
            "text/html, application/cbor;q=0.9, application/json;q=0.5",
            Some("application/cbor"),
        ),
        (
            "application/hal+json;q=0, application/cbor",
            Some("application/cbor"),
        ),
        ("application/xml", None),
        ("text/plain, image/*", None),
    ];
    let mut cases: Vec<Case> = table
        .into_iter()
        .map(|(accept, kind)| {
            let asked = case(&format!("Accept: {accept}"), Introduced)
                .get("")
                .with("Accept", accept);
            match kind {
                Some(kind) => asked.is(200).header("content-type", kind),
                None => asked.is(406),
            }
        })
        .collect();
    cases.extend([
        case("JSON and HAL are the same text", Offered)
            .get("deploymentBase/{id}")
            .with("Accept", "application/json")
            .is(200)
            .get("deploymentBase/{id}")
            .with("Accept", "application/hal+json")
            .with("If-None-Match", "{etag}")
            .is(304),
        case("CBOR says what JSON says", Offered)
            .get("deploymentBase/{id}")
            .with("Accept", "application/cbor")
            .is(200)
            .json("/id", "{id}")
            .json("/deployment/chunks/0/artifacts/0/size", 1000)
            .json("/deployment/chunks/0/artifacts/0/hashes/sha256", "{sha256}"),
    ]);
    cases
}

fn sent() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
    ]
    .into_iter()
    .map(|kind| {
        case(&format!("Content-Type: {kind} is not taken"), Busy)
            .post(FEEDBACK, say::body("closed", "success"))
            .with("Content-Type", kind)
            .is(415)
            .get("installedBase/{id}")
            .is(404)
    })
    .collect();
    cases.extend([
        case("a charset does not matter", Busy)
            .post(FEEDBACK, say::body("proceeding", "none"))
            .with("Content-Type", "application/json;charset=UTF-8")
            .is(200),
        case("what CBOR closes is closed", Busy)
            .send(Method::POST, FEEDBACK)
            .body(say::cbor(&say::body("closed", "success")))
            .with("Content-Type", "application/cbor")
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("what CBOR says of a device is heard", Known)
            .send(Method::PUT, "configData")
            .body(say::cbor(r#"{"data": {"hw_model": "edge"}}"#))
            .with("Content-Type", "application/cbor")
            .is(200)
            .get("")
            .lacks("/_links"),
        case("broken CBOR is refused", Busy)
            .send(Method::POST, FEEDBACK)
            .body(vec![0xbf, 0x61])
            .with("Content-Type", "application/cbor")
            .is(400),
        case("CBOR that nests without end is refused", Busy)
            .send(Method::POST, FEEDBACK)
            .body(vec![0x9f; 100_000])
            .with("Content-Type", "application/cbor")
            .one_of(&[400, 413]),
    ]);
    cases
}

fn framed() -> Vec<Case> {
    vec![
        case("a body in chunks is taken", Busy)
            .post(FEEDBACK, say::body("closed", "success"))
            .framed(Framing::Chunked)
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case(
            "Expect: 100-continue is answered before the body comes",
            Busy,
        )
        .post(FEEDBACK, say::body("closed", "success"))
        .framed(Framing::AfterContinue)
        .is(200)
        .get("installedBase/{id}")
        .is(200),
        case("Expect: 100-continue on attributes too", Known)
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .framed(Framing::AfterContinue)
            .is(200),
    ]
}

fn known() -> Vec<Case> {
    vec![
        case("an ETag that is another's is none", Introduced)
            .get("")
            .with("If-None-Match", "\"00000000000000000000000000000000\"")
            .is(200),
        case("one of several ETags is enough", Introduced)
            .get("")
            .is(200)
            .get("")
            .with("If-None-Match", "\"x\", {etag}")
            .is(304),
        case(
            "a poll has another ETag when there is something to do",
            Introduced,
        )
        .get("")
        .is(200)
        .operator(crate::case::Act::Assign(
            &crate::bundle::PLAIN,
            crate::adapter::Terms::default(),
        ))
        .get("")
        .with("If-None-Match", "{etag}")
        .soon()
        .is(200)
        .has("/_links/deploymentBase"),
    ]
}

fn tenants() -> Vec<Case> {
    vec![
        case(
            "the case of the tenant's name does not matter, and links echo it",
            Offered,
        )
        .get("/{lower}/controller/v1/{device}")
        .is(200)
        .contains(
            "/_links/deploymentBase/href",
            "{server}/{lower}/controller/v1/{device}/deploymentBase/{id}?c=",
        ),
        case("links to files have the tenant's own spelling", Offered)
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
        .needing(Need::Stranger)
        .get("")
        .with("X-Forwarded-Host", "evil.example.com")
        .with("X-Forwarded-Port", "666")
        .with("X-Forwarded-Prefix", "/evil")
        .with("X-Forwarded-Proto", "https")
        .with("Forwarded", "host=evil.example.com;proto=https")
        .is(200)
        .that("no link leads there", |answer| {
            ensure!(!answer.text().contains("evil"), "one does");
            Ok(())
        }),
    ]
}

fn refused() -> Vec<Case> {
    let names = [
        ("256 characters", "x".repeat(256), 200),
        ("257 characters", "x".repeat(257), 400),
        ("with white space", "a%20b".to_owned(), 400),
        ("with a control character", "a%00b".to_owned(), 400),
    ];
    let mut cases: Vec<Case> = names
        .into_iter()
        .map(|(what, name, status)| {
            case(&format!("a device's name {what}"), Unknown)
                .get(&format!("/{{tenant}}/controller/v1/{name}"))
                .is(status)
        })
        .collect();
    cases.extend([
        case("a device's name may hold what is percent-encoded", Unknown)
            .get("/{tenant}/controller/v1/%C3%BC%2Fb")
            .is(200)
            .contains(
                "/_links/configData/href",
                "/controller/v1/%C3%BC%2Fb/configData",
            ),
        case("a device's name is UTF-8", Unknown)
            .get("/{tenant}/controller/v1/%FF")
            .one_of(&[400, 404]),
        case("there is nothing beside the resources", Introduced)
            .get("nonsense")
            .is(404),
        case("one value is as good as a list of one", Busy)
            .post(
                FEEDBACK,
                json!({ "status": {
                    "execution": "proceeding", "details": "alone", "result": { "finished": "none" },
                } })
                .to_string(),
            )
            .is(200)
            .get("deploymentBase/{id}?actionHistory=5")
            .json("/actionHistory/messages", json!(["alone"])),
    ]);
    cases
}
