//! Formats, parameters and framing, tested on one resource each.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use super::payloads;
use crate::{
    adapter::Capability,
    case::{Case, DeviceState, DeviceState::*, Framing},
};

const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("1.1", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [
        accept_header(),
        content_type(),
        framing(),
        conditional(),
        tenants(),
        invalid_names(),
    ]
    .concat()
}

fn accept_header() -> Vec<Case> {
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
            let request = case(&format!("Accept: {accept}"), Identified)
                .get("")
                .with_header("Accept", accept);
            match kind {
                Some(kind) => request.status(200).header("content-type", kind),
                None => request.status(406),
            }
        })
        .collect();
    cases.extend([
        case("JSON and HAL are the same text", Offered)
            .get("deploymentBase/{id}")
            .with_header("Accept", "application/json")
            .status(200)
            .get("deploymentBase/{id}")
            .with_header("Accept", "application/hal+json")
            .with_header("If-None-Match", "{etag}")
            .status(304),
        case("CBOR has the same content as JSON", Offered)
            .get("deploymentBase/{id}")
            .with_header("Accept", "application/cbor")
            .status(200)
            .json("/id", "{id}")
            .json("/deployment/chunks/0/artifacts/0/size", 1000)
            .json("/deployment/chunks/0/artifacts/0/hashes/sha256", "{sha256}"),
    ]);
    cases
}

fn content_type() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
    ]
    .into_iter()
    .map(|kind| {
        case(&format!("Content-Type: {kind} is not accepted"), Proceeding)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .with_header("Content-Type", kind)
            .status(415)
            .get("installedBase/{id}")
            .status(404)
    })
    .collect();
    cases.extend([
        case("a charset is ignored", Proceeding)
            .post(FEEDBACK, payloads::feedback("proceeding", "none"))
            .with_header("Content-Type", "application/json;charset=UTF-8")
            .status(200),
        case("CBOR feedback closes an update", Proceeding)
            .send(Method::POST, FEEDBACK)
            .body(payloads::to_cbor(&payloads::feedback("closed", "success")))
            .with_header("Content-Type", "application/cbor")
            .status(200)
            .get("installedBase/{id}")
            .status(200),
        case("CBOR attributes are accepted", Registered)
            .send(Method::PUT, "configData")
            .body(payloads::to_cbor(r#"{"data": {"hw_model": "edge"}}"#))
            .with_header("Content-Type", "application/cbor")
            .status(200)
            .get("")
            .lacks("/_links"),
        case("invalid CBOR is rejected", Proceeding)
            .send(Method::POST, FEEDBACK)
            .body(vec![0xbf, 0x61])
            .with_header("Content-Type", "application/cbor")
            .status(400),
        case("deeply nested CBOR is rejected", Proceeding)
            .send(Method::POST, FEEDBACK)
            .body(vec![0x9f; 100_000])
            .with_header("Content-Type", "application/cbor")
            .status_in(&[400, 413]),
    ]);
    cases
}

fn framing() -> Vec<Case> {
    vec![
        case("a chunked body is accepted", Proceeding)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .with_framing(Framing::Chunked)
            .status(200)
            .get("installedBase/{id}")
            .status(200),
        case(
            "Expect: 100-continue is answered before the body is sent",
            Proceeding,
        )
        .post(FEEDBACK, payloads::feedback("closed", "success"))
        .with_framing(Framing::ExpectContinue)
        .status(200)
        .get("installedBase/{id}")
        .status(200),
        case("Expect: 100-continue on attributes", Registered)
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .with_framing(Framing::ExpectContinue)
            .status(200),
    ]
}

fn conditional() -> Vec<Case> {
    vec![
        case("another ETag does not match", Identified)
            .get("")
            .with_header("If-None-Match", "\"00000000000000000000000000000000\"")
            .status(200),
        case("one of several ETags matches", Identified)
            .get("")
            .status(200)
            .get("")
            .with_header("If-None-Match", "\"x\", {etag}")
            .status(304),
        case(
            "the ETag of a poll changes when an update is offered",
            Identified,
        )
        .get("")
        .status(200)
        .operator(crate::case::OperatorAction::Assign(
            &crate::bundle::SINGLE_FILE,
            crate::adapter::AssignmentOptions::default(),
        ))
        .get("")
        .with_header("If-None-Match", "{etag}")
        .eventually()
        .status(200)
        .has("/_links/deploymentBase"),
    ]
}

fn tenants() -> Vec<Case> {
    vec![
        case(
            "the tenant's name is case-insensitive, and links echo it",
            Offered,
        )
        .get("/{lower}/controller/v1/{device}")
        .status(200)
        .contains(
            "/_links/deploymentBase/href",
            "{server}/{lower}/controller/v1/{device}/deploymentBase/{id}?c=",
        ),
        case("links to files use the tenant's own spelling", Offered)
            .get("/{lower}/controller/v1/{device}/deploymentBase/{id}")
            .status(200)
            .contains(
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
                "{server}/{tenant}/controller/v1/{device}/softwaremodules/",
            ),
        case("links use the request's Host", Offered)
            .get("")
            .with_header("Host", "updates.example.com:8443")
            .status(200)
            .contains(
                "/_links/deploymentBase/href",
                "http://updates.example.com:8443/{tenant}/",
            ),
        case(
            "links ignore forwarding headers of an untrusted client",
            Offered,
        )
        .requires(Capability::DirectClient)
        .get("")
        .with_header("X-Forwarded-Host", "evil.example.com")
        .with_header("X-Forwarded-Port", "666")
        .with_header("X-Forwarded-Prefix", "/evil")
        .with_header("X-Forwarded-Proto", "https")
        .with_header("Forwarded", "host=evil.example.com;proto=https")
        .status(200)
        .satisfies("no link uses the forwarded host", |response| {
            ensure!(
                !response.text().contains("evil"),
                "a link uses the forwarded host"
            );
            Ok(())
        }),
    ]
}

fn invalid_names() -> Vec<Case> {
    let names = [
        ("256 characters", "x".repeat(256), 200),
        ("257 characters", "x".repeat(257), 400),
        ("with white space", "a%20b".to_owned(), 400),
        ("with a control character", "a%00b".to_owned(), 400),
        ("with an escape", "a%1B%5B2J".to_owned(), 400),
        ("with a control of C1", "a%C2%9B".to_owned(), 400),
    ];
    let mut cases: Vec<Case> = names
        .into_iter()
        .map(|(what, name, status)| {
            case(&format!("a device id: {what}"), Unknown)
                .get(&format!("/{{tenant}}/controller/v1/{name}"))
                .status(status)
        })
        .collect();
    let differing = [
        ("with an invisible character", "a%E2%80%8Bb"),
        ("with a bidirectional character", "%E2%80%AEb"),
        ("not in normal form", "u%CC%88"),
        ("a word of the routes", "bulk"),
        ("a word of the routes, encoded", "%62ulk"),
    ];
    cases.extend(differing.into_iter().map(|(what, name)| {
        case(&format!("a device id: {what}"), Unknown)
            .get(&format!("/{{tenant}}/controller/v1/{name}"))
            .differs(17, |it| it.status(200), |it| it.status(400))
    }));
    cases.extend([
        case("a device id may be percent-encoded", Unknown)
            .get("/{tenant}/controller/v1/%C3%BC%2Fb")
            .status(200)
            .contains(
                "/_links/configData/href",
                "/controller/v1/%C3%BC%2Fb/configData",
            ),
        case("a device id must be UTF-8", Unknown)
            .get("/{tenant}/controller/v1/%FF")
            .status_in(&[400, 404]),
        case("an unknown resource is not found", Identified)
            .get("nonsense")
            .status(404),
        case("a single value is accepted in place of a list", Proceeding)
            .post(
                FEEDBACK,
                json!({ "status": {
                    "execution": "proceeding", "details": "alone", "result": { "finished": "none" },
                } })
                .to_string(),
            )
            .status(200)
            .get("deploymentBase/{id}?actionHistory=5")
            .json("/actionHistory/messages", json!(["alone"])),
    ]);
    cases
}
