//! Resource 10: the installed firmware.

use super::payloads;
use crate::{
    adapter::AssignmentOptions,
    bundle::NEXT,
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
};

const PATH: &str = "installedBase/{id}";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("10", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "the description of the installed firmware equals the offer",
            Succeeded,
        )
        .get(PATH)
        .status(200)
        .json("/id", "{id}")
        .json("/deployment/download", "forced")
        .json("/deployment/chunks/0/version", "2.0.0")
        .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}")
        .json(
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            "{base}/softwaremodules/{module}/artifacts/{file}",
        )
        .lacks("/actionHistory"),
        case("with history on request", Proceeding)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback_with_messages("closed", "success", &["done"]),
            )
            .status(200)
            .get(&format!("{PATH}?actionHistory=5"))
            .status(200)
            .json("/actionHistory/messages/0", "done"),
        case("actionHistory that is not a number", Succeeded)
            .get(&format!("{PATH}?actionHistory=x"))
            .status(400),
        case("the link of the poll leads here", Succeeded)
            .get("")
            .capture("link", "/_links/installedBase/href")
            .get("{link}")
            .status(200)
            .json("/id", "{id}"),
        case("reading it changes nothing", Succeeded)
            .get("")
            .status(200)
            .get(PATH)
            .status(200)
            .get("")
            .status(200)
            .has("/_links/installedBase"),
        case("a previously installed update can still be read", Succeeded)
            .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
            .get("")
            .eventually()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get(PATH)
            .status(200)
            .json("/id", "{id}")
            .get("installedBase/{next}")
            .status(200)
            .json("/deployment/chunks/0/version", "3.0.0"),
        case("an open update is not installed", Proceeding)
            .get(PATH)
            .status(404),
        case("a cancelling update is not installed", Cancelling)
            .get(PATH)
            .status(404),
        case("a cancelled update is not installed", Cancelled)
            .get(PATH)
            .status(404),
        case("an update of another device is not found", Identified)
            .get("installedBase/{other}")
            .status(404),
        case("an unknown update is not found", Identified)
            .get("installedBase/2147483647")
            .status(404),
        case(
            "reporting an old version again does not offer the update again",
            Succeeded,
        )
        .row("1.5")
        .put("configData", r#"{"data": {"sw_version": "1.0.0"}}"#)
        .status(200)
        .get("")
        .status(200)
        .lacks("/_links/deploymentBase")
        .has("/_links/installedBase"),
    ]
}
