//! Formats, and answers that are not sent twice.

use anyhow::{Context as _, ensure};
use md5::Digest as _;
use reqwest::Method;
use tidegate_core::firmware::hex;
use tidegate_e2e::Answer;

use super::{
    case::{Case, Standing::*, case},
    feedback,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("HAL is what is sent to whoever does not say", Introduced)
            .get("")
            .with("Accept", "*/*")
            .is(200)
            .header("content-type", "application/hal+json"),
        case(
            "the order of wishes and their weights are heard",
            Introduced,
        )
        .get("")
        .with(
            "Accept",
            "text/html, application/cbor;q=0.9, application/json;q=0.5",
        )
        .is(200)
        .header("content-type", "application/cbor"),
        case("JSON and HAL are the same", Offered)
            .get("")
            .with("Accept", "application/json")
            .is(200)
            .has("/_links/deploymentBase/href"),
        case("CBOR says the same as JSON", Offered)
            .get("deploymentBase/{id}")
            .with("Accept", "application/cbor")
            .is(200)
            .header("content-type", "application/cbor")
            .json("/id", "{id}")
            .json("/deployment/chunks/0/artifacts/0/size", 1000),
        case("an ETag is the MD5 of the body", Offered)
            .get("deploymentBase/{id}")
            .is(200)
            .that("the ETag", is_md5_of_body),
        case("an ETag that is still right is answered by 304", Introduced)
            .get("")
            .is(200)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(304)
            .empty(),
        case("an ETag that is not is not", Introduced)
            .get("")
            .with("If-None-Match", "\"00000000000000000000000000000000\"")
            .is(200),
        case("one of several ETags is enough", Introduced)
            .get("")
            .is(200)
            .get("")
            .with("If-None-Match", "\"x\", {etag}")
            .is(304),
        case("an answer has its length", Offered)
            .get("deploymentBase/{id}")
            .is(200)
            .that("Content-Length", has_length),
        case("the answer to feedback is empty, and has its length", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                feedback::body("proceeding", "none"),
            )
            .is(200)
            .empty()
            .header("content-length", "0"),
        case("CBOR is understood", Busy)
            .send(Method::POST, "deploymentBase/{id}/feedback")
            .body(cbor(&feedback::body("closed", "success")))
            .with("Content-Type", "application/cbor")
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("CBOR attributes are understood", Known)
            .send(Method::PUT, "configData")
            .body(cbor(r#"{"data": {"hw_model": "edge"}}"#))
            .with("Content-Type", "application/cbor")
            .is(200)
            .get("")
            .lacks("/_links"),
        case("broken CBOR is refused", Busy)
            .send(Method::POST, "deploymentBase/{id}/feedback")
            .body(vec![0xbf, 0x61])
            .with("Content-Type", "application/cbor")
            .is(400),
        case("CBOR that nests without end is refused", Busy)
            .send(Method::POST, "deploymentBase/{id}/feedback")
            .body(vec![0x9f; 100_000])
            .with("Content-Type", "application/cbor")
            .one_of(&[400, 413]),
        case("a charset does not matter", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                feedback::body("proceeding", "none"),
            )
            .with("Content-Type", "application/json;charset=UTF-8")
            .is(200),
    ];
    for (accept, kind) in [
        ("application/hal+json", Some("application/hal+json")),
        ("application/json", Some("application/json")),
        ("application/cbor", Some("application/cbor")),
        ("application/*", Some("application/hal+json")),
        ("text/html", None),
        ("application/xml", None),
    ] {
        let asked = case(&format!("Accept: {accept}"), Introduced)
            .get("")
            .with("Accept", accept);
        cases.push(match kind {
            Some(kind) => asked.is(200).header("content-type", kind),
            None => asked.is(406),
        });
    }
    for kind in [
        "application/hal+json",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
    ] {
        cases.push(
            case(&format!("Content-Type: {kind}"), Busy)
                .post(
                    "deploymentBase/{id}/feedback",
                    feedback::body("closed", "success"),
                )
                .with("Content-Type", kind)
                .is(415)
                .get("deploymentBase/{id}")
                .is(200)
                .get("installedBase/{id}")
                .is(404),
        );
    }
    cases
}

fn is_md5_of_body(answer: &Answer) -> anyhow::Result<()> {
    let wanted = format!("\"0{}\"", hex(&md5::Md5::digest(&answer.body)));
    ensure!(answer.header("etag") == wanted, "it must be {wanted}");
    Ok(())
}

fn has_length(answer: &Answer) -> anyhow::Result<()> {
    let length: usize = answer
        .header("content-length")
        .parse()
        .context("a number")?;
    ensure!(
        length == answer.body.len(),
        "it must be {}",
        answer.body.len()
    );
    Ok(())
}

fn cbor(json: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).expect("memory takes it");
    bytes
}
