//! Resource 11: a device reports firmware that it installed by itself.

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
        case("the first report is 201, a repeated one is 200", Identified)
            .put(PATH, REPORT)
            .status(201)
            .put(PATH, REPORT)
            .status(200),
        case("the reported firmware is the installed one", Identified)
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
        case(
            "reporting firmware that an update installed is 200",
            Succeeded,
        )
        .put(PATH, REPORT)
        .status(200),
        case("an unknown firmware is not found", Identified)
            .put(PATH, r#"{"name": "plain-{run}", "version": "9.9.9"}"#)
            .status(404)
            .get("")
            .lacks("/_links/installedBase"),
        case("an unknown device is not found", Unknown)
            .put(PATH, REPORT)
            .status(404),
        case(
            "files of the reported firmware can be downloaded",
            Identified,
        )
        .put(PATH, REPORT)
        .status(201)
        .get("softwaremodules/{module}/artifacts/{file}")
        .differs(5, |it| it.status(404), |it| it.status(200).bytes(1000)),
        case("the reported firmware is not offered", Identified)
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
        case("other firmware is offered afterwards", Identified)
            .put(PATH, REPORT)
            .status(201)
            .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
            .get("")
            .eventually()
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .has("/_links/installedBase"),
        case(
            "an unknown firmware does not replace the installed one",
            Succeeded,
        )
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
        case("invalid JSON", Identified)
            .put(PATH, "{")
            .error(400, "rest.body.notReadable"),
        case("HAL is not accepted", Identified)
            .put(PATH, REPORT)
            .with_header("Content-Type", "application/hal+json")
            .status(415),
        case("CBOR is accepted", Identified)
            .send(reqwest::Method::PUT, PATH)
            .body(payloads::to_cbor(r#"{"name": "x", "version": "9.9.9"}"#))
            .with_header("Content-Type", "application/cbor")
            .status(404),
        case("unknown fields are ignored", Identified)
            .put(
                PATH,
                r#"{"name": "plain-{run}", "version": "2.0.0", "more": 1}"#,
            )
            .status(201),
        case("POST is not allowed", Identified)
            .post(PATH, REPORT)
            .status(405),
        case("GET is not allowed", Identified).get(PATH).status(405),
        case("credentials are required", Identified)
            .put(PATH, REPORT)
            .unauthorized()
            .status(401)
            .empty(),
    ]
}
