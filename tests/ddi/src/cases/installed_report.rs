//! Resource 11: a device tells what it has installed by itself.

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, Capability},
    bundle::{NEXT, SINGLE_FILE},
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
};

const PATH: &str = "installedBase";
const REPORT: &str = r#"{"name": "plain-{run}", "version": "2.0.0"}"#;

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("11", name, device_state).requires(Capability::InstalledReport)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("told for the first time it is news, then not", Identified)
            .put(PATH, REPORT)
            .status(201)
            .put(PATH, REPORT)
            .status(200),
        case("what is told is installed", Identified)
            .put(PATH, REPORT)
            .status(201)
            .get("")
            .status(200)
            .lacks("/_links/deploymentBase")
            .capture("link", "/_links/installedBase/href")
            .get("{link}")
            .status(200)
            .json("/deployment/chunks/0/version", "2.0.0")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}"),
        case("what an update brought is no news", Succeeded)
            .put(PATH, REPORT)
            .status(200),
        case("a firmware that is not there", Identified)
            .put(PATH, r#"{"name": "plain-{run}", "version": "9.9.9"}"#)
            .status(404)
            .get("")
            .lacks("/_links/installedBase"),
        case("a device that nobody knows", Unknown)
            .put(PATH, REPORT)
            .status(404),
        case("files of what is told can be fetched", Identified)
            .put(PATH, REPORT)
            .status(201)
            .get("softwaremodules/{module}/artifacts/{file}")
            .differs(5, |it| it.status(404), |it| it.status(200).bytes(1000)),
        case("what is told is offered no more", Identified)
            .put(PATH, REPORT)
            .status(201)
            .operator(OperatorAction::Assign(
                &SINGLE_FILE,
                AssignmentOptions::default(),
            ))
            .get("")
            .status(200)
            .lacks("/_links/deploymentBase")
            .has("/_links/installedBase"),
        case("what comes after it is offered", Identified)
            .put(PATH, REPORT)
            .status(201)
            .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
            .get("")
            .eventually()
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .has("/_links/installedBase"),
        case("what is not there takes no place", Succeeded)
            .put(PATH, r#"{"name": "plain-{run}", "version": "9.9.9"}"#)
            .status(404)
            .get("")
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case("an open update stays open", Proceeding)
            .put(PATH, REPORT)
            .status_in(&[200, 201])
            .get("")
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case("no name", Identified)
            .put(PATH, r#"{"version": "2.0.0"}"#)
            .status(400),
        case("no version", Identified)
            .put(PATH, r#"{"name": "plain"}"#)
            .status(400),
        case("what is no JSON", Identified)
            .put(PATH, "{")
            .error(400, "rest.body.notReadable"),
        case("HAL is not taken", Identified)
            .put(PATH, REPORT)
            .with_header("Content-Type", "application/hal+json")
            .status(415),
        case("CBOR is taken", Identified)
            .send(reqwest::Method::PUT, PATH)
            .body(payloads::to_cbor(r#"{"name": "x", "version": "9.9.9"}"#))
            .with_header("Content-Type", "application/cbor")
            .status(404),
        case("fields that nobody knows", Identified)
            .put(
                PATH,
                r#"{"name": "plain-{run}", "version": "2.0.0", "more": 1}"#,
            )
            .status(201),
        case("it is put, not posted", Identified)
            .post(PATH, REPORT)
            .status(405),
        case("it is put, not read", Identified)
            .get(PATH)
            .status(405),
        case("nobody without credentials", Identified)
            .put(PATH, REPORT)
            .unauthorized()
            .status(401)
            .empty(),
    ]
}
