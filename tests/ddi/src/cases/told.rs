//! Resource 11: a device tells what it has installed by itself.

use super::say;
use crate::{
    adapter::{Need, Terms},
    bundle::{NEXT, PLAIN as PLAIN_BUNDLE},
    case::{Act, Case, Standing, Standing::*},
};

const PATH: &str = "installedBase";
const PLAIN: &str = r#"{"name": "plain-{run}", "version": "2.0.0"}"#;

fn case(name: &str, standing: Standing) -> Case {
    Case::new("11", name, standing).needing(Need::Told)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("told for the first time it is news, then not", Introduced)
            .put(PATH, PLAIN)
            .is(201)
            .put(PATH, PLAIN)
            .is(200),
        case("what is told is installed", Introduced)
            .put(PATH, PLAIN)
            .is(201)
            .get("")
            .is(200)
            .lacks("/_links/deploymentBase")
            .keep("link", "/_links/installedBase/href")
            .get("{link}")
            .is(200)
            .json("/deployment/chunks/0/version", "2.0.0")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}"),
        case("what an update brought is no news", Done)
            .put(PATH, PLAIN)
            .is(200),
        case("a firmware that is not there", Introduced)
            .put(PATH, r#"{"name": "plain-{run}", "version": "9.9.9"}"#)
            .is(404)
            .get("")
            .lacks("/_links/installedBase"),
        case("a device that nobody knows", Unknown)
            .put(PATH, PLAIN)
            .is(404),
        case("files of what is told can be fetched", Introduced)
            .put(PATH, PLAIN)
            .is(201)
            .get("softwaremodules/{module}/artifacts/{file}")
            .differs(5, |it| it.is(404), |it| it.is(200).bytes(1000)),
        case("what is told is offered no more", Introduced)
            .put(PATH, PLAIN)
            .is(201)
            .operator(Act::Assign(&PLAIN_BUNDLE, Terms::default()))
            .get("")
            .is(200)
            .lacks("/_links/deploymentBase")
            .has("/_links/installedBase"),
        case("what comes after it is offered", Introduced)
            .put(PATH, PLAIN)
            .is(201)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .soon()
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .has("/_links/installedBase"),
        case("what is not there takes no place", Done)
            .put(PATH, r#"{"name": "plain-{run}", "version": "9.9.9"}"#)
            .is(404)
            .get("")
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case("an open update stays open", Busy)
            .put(PATH, PLAIN)
            .one_of(&[200, 201])
            .get("")
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case("no name", Introduced)
            .put(PATH, r#"{"version": "2.0.0"}"#)
            .is(400),
        case("no version", Introduced)
            .put(PATH, r#"{"name": "plain"}"#)
            .is(400),
        case("what is no JSON", Introduced)
            .put(PATH, "{")
            .error(400, "rest.body.notReadable"),
        case("HAL is not taken", Introduced)
            .put(PATH, PLAIN)
            .with("Content-Type", "application/hal+json")
            .is(415),
        case("CBOR is taken", Introduced)
            .send(reqwest::Method::PUT, PATH)
            .body(say::cbor(r#"{"name": "x", "version": "9.9.9"}"#))
            .with("Content-Type", "application/cbor")
            .is(404),
        case("fields that nobody knows", Introduced)
            .put(
                PATH,
                r#"{"name": "plain-{run}", "version": "2.0.0", "more": 1}"#,
            )
            .is(201),
        case("it is put, not posted", Introduced)
            .post(PATH, PLAIN)
            .is(405),
        case("it is put, not read", Introduced).get(PATH).is(405),
        case("nobody without credentials", Introduced)
            .put(PATH, PLAIN)
            .unauthorized()
            .is(401)
            .empty(),
    ]
}
