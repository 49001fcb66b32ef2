//! Resources 12 to 16: updates that the device's user must confirm.

use anyhow::ensure;
use serde_json::json;

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, Capability, UpdateState},
    bundle::NEXT,
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
    response::DecodeBody as _,
};

const BASE: &str = "confirmationBase";
const PATH: &str = "confirmationBase/{id}";
const FEEDBACK: &str = "confirmationBase/{id}/feedback";
const ACTIVATE: &str = "confirmationBase/activateAutoConfirm";
const DEACTIVATE: &str = "confirmationBase/deactivateAutoConfirm";

/// A case about a device with an update to confirm if it is `Offered`, and without one otherwise.
fn case(row: &'static str, name: &str, device_state: DeviceState) -> Case {
    let case = Case::new(row, name, device_state).requires(Capability::Confirmation);
    if device_state == Offered {
        case.with_options(payloads::confirmation_required())
    } else {
        case
    }
}

pub(super) fn cases() -> Vec<Case> {
    [
        poll_and_state(),
        overview(),
        details(),
        confirmed(),
        denied(),
        rejected(),
        auto_confirm(),
    ]
    .concat()
}

fn poll_and_state() -> Vec<Case> {
    vec![
        case(
            "1",
            "an update to confirm has a confirmationBase link",
            Offered,
        )
        .get("")
        .status(200)
        .contains(
            "/_links/confirmationBase/href",
            "{base}/confirmationBase/{id}?c=",
        )
        .lacks("/_links/deploymentBase")
        .lacks("/_links/cancelAction"),
        case("5", "an update to confirm is not found", Offered)
            .get("deploymentBase/{id}")
            .status(404),
        case("6", "an update to confirm accepts no feedback", Offered)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(404)
            .get("")
            .has("/_links/confirmationBase"),
        case("10", "an update to confirm is not installed", Offered)
            .get("installedBase/{id}")
            .status(404),
        case("2", "an update to confirm is waiting", Offered).operator(
            OperatorAction::ExpectState(UpdateState::WaitingConfirmation),
        ),
    ]
}

fn overview() -> Vec<Case> {
    vec![
        case("12", "without an update", Identified)
            .get(BASE)
            .status(200)
            .json("/autoConfirm/active", false)
            .lacks("/autoConfirm/initiator")
            .lacks("/autoConfirm/remark")
            .json(
                "/_links/activateAutoConfirm/href",
                "{base}/confirmationBase/activateAutoConfirm",
            )
            .lacks("/_links/deactivateAutoConfirm")
            .lacks("/_links/confirmationBase"),
        case("12", "with an update to confirm", Offered)
            .get(BASE)
            .status(200)
            .contains(
                "/_links/confirmationBase/href",
                "{base}/confirmationBase/{id}?c=",
            ),
        case(
            "12",
            "with an update that needs no confirmation",
            Proceeding,
        )
        .get(BASE)
        .status(200)
        .lacks("/_links/confirmationBase"),
        case("12", "it registers a device as a poll does", Unknown)
            .get(BASE)
            .status(200)
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .status(200),
        case("12", "POST is not allowed", Identified)
            .post(BASE, "{}")
            .status(405),
    ]
}

fn details() -> Vec<Case> {
    vec![
        case(
            "13",
            "an update to confirm is described as a deployment",
            Offered,
        )
        .get(PATH)
        .status(200)
        .json("/id", "{id}")
        .lacks("/deployment")
        .json("/confirmation/download", "forced")
        .json("/confirmation/update", "forced")
        .length("/confirmation/chunks", 1)
        .json("/confirmation/chunks/0/part", "os")
        .json("/confirmation/chunks/0/version", "2.0.0")
        .json("/confirmation/chunks/0/artifacts/0/filename", "{file}")
        .json("/confirmation/chunks/0/artifacts/0/size", 1000)
        .json(
            "/confirmation/chunks/0/artifacts/0/hashes/sha256",
            "{sha256}",
        )
        .lacks("/actionHistory"),
        case("13", "the link of the poll leads here", Offered)
            .get("")
            .capture("link", "/_links/confirmationBase/href")
            .get("{link}")
            .status(200)
            .json("/id", "{id}"),
        case("13", "c must be a 32-bit number", Offered)
            .get("confirmationBase/{id}?c=-1")
            .status(200)
            .get("confirmationBase/{id}?c=abc")
            .status(400),
        case("13", "actionHistory that is not a number", Offered)
            .get("confirmationBase/{id}?actionHistory=x")
            .status(400),
        case("13", "the user's answer is in the history", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "denied", "details": ["not now"]}"#,
            )
            .status(200)
            .get("confirmationBase/{id}?actionHistory=10")
            .status(200)
            .satisfies("the message", |response| {
                ensure!(response.text().contains("not now"));
                Ok(())
            }),
        case(
            "13",
            "an update that needs no confirmation is not found",
            Proceeding,
        )
        .get(PATH)
        .status(404),
        case("13", "a succeeded update is not found", Succeeded)
            .get(PATH)
            .status(404),
        case("13", "a cancelling update is not found", Cancelling)
            .get(PATH)
            .status(404),
        case("13", "an update of another device is not found", Identified)
            .get("confirmationBase/{other}")
            .status(404),
        case("13", "an unknown update is not found", Identified)
            .get("confirmationBase/2147483647")
            .status(404),
    ]
}

fn confirmed() -> Vec<Case> {
    vec![
        case("14", "a confirmed update can be installed", Offered)
            .post(FEEDBACK, payloads::confirmation("confirmed"))
            .status(200)
            .empty()
            .get("")
            .status(200)
            .lacks("/_links/confirmationBase")
            .contains(
                "/_links/deploymentBase/href",
                "{base}/deploymentBase/{id}?c=",
            )
            .get("deploymentBase/{id}")
            .status(200)
            .json("/id", "{id}")
            .get("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get("installedBase/{id}")
            .status(200),
        case("14", "a confirmed update is open", Offered)
            .post(FEEDBACK, payloads::confirmation("confirmed"))
            .status(200)
            .operator(OperatorAction::ExpectState(UpdateState::Open)),
        case(
            "14",
            "a confirmed update is not found here any more",
            Offered,
        )
        .post(FEEDBACK, payloads::confirmation("confirmed"))
        .status(200)
        .get(PATH)
        .status(404),
        case("14", "with a code and details", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "code": 1, "details": ["as you like"]}"#,
            )
            .status(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("14", "details without a list", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "details": "as you like"}"#,
            )
            .status(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("14", "details and code of null", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "code": null, "details": null}"#,
            )
            .status(200),
    ]
}

fn denied() -> Vec<Case> {
    vec![
        case(
            "14",
            "a denied update waits for confirmation again",
            Offered,
        )
        .post(FEEDBACK, payloads::confirmation("denied"))
        .status(200)
        .empty()
        .get("")
        .status(200)
        .contains("/_links/confirmationBase/href", "/confirmationBase/{id}?c=")
        .lacks("/_links/deploymentBase")
        .operator(OperatorAction::ExpectState(
            UpdateState::WaitingConfirmation,
        )),
        case("14", "denied and then confirmed", Offered)
            .post(FEEDBACK, payloads::confirmation("denied"))
            .status(200)
            .post(FEEDBACK, payloads::confirmation("denied"))
            .status(200)
            .post(FEEDBACK, payloads::confirmation("confirmed"))
            .status(200)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "14",
            "confirmed and then denied waits for confirmation again",
            Offered,
        )
        .post(FEEDBACK, payloads::confirmation("confirmed"))
        .status(200)
        .post(FEEDBACK, payloads::confirmation("denied"))
        .status(200)
        .get("")
        .status(200)
        .has("/_links/confirmationBase")
        .lacks("/_links/deploymentBase"),
    ]
}

fn rejected() -> Vec<Case> {
    let bodies = [
        ("an unknown word", payloads::confirmation("perhaps")),
        ("a word in upper case", payloads::confirmation("CONFIRMED")),
        ("no word", "{}".to_owned()),
        ("null", json!({ "confirmation": null }).to_string()),
        (
            "a code that is not a number",
            r#"{"confirmation": "confirmed", "code": "x"}"#.to_owned(),
        ),
        ("an empty body", String::new()),
    ];
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(what, body)| {
            case("14", &format!("rejected: {what}"), Offered)
                .post(FEEDBACK, body)
                .status(400)
                .get("")
                .has("/_links/confirmationBase")
        })
        .collect();
    cases.extend([
        case("14", "a succeeded update is 410", Succeeded)
            .post(FEEDBACK, payloads::confirmation("confirmed"))
            .status(410),
        case("14", "a failed update is 410", Failed)
            .post(FEEDBACK, payloads::confirmation("denied"))
            .status(410),
        case(
            "14",
            "feedback for an update of another device is not found",
            Offered,
        )
        .post(
            "confirmationBase/{other}/feedback",
            payloads::confirmation("confirmed"),
        )
        .status(404),
        case("14", "feedback for an unknown update is not found", Offered)
            .post(
                "confirmationBase/2147483647/feedback",
                payloads::confirmation("confirmed"),
            )
            .status(404),
        case("14", "a cancelling update is not found", Cancelling)
            .post(FEEDBACK, payloads::confirmation("confirmed"))
            .status(404),
    ]);
    cases
}

/// Automatic confirmation.
fn auto_confirm() -> Vec<Case> {
    vec![
        case("15", "it shows initiator and remark", Identified)
            .post(
                ACTIVATE,
                r#"{"initiator": "the owner", "remark": "always"}"#,
            )
            .status(200)
            .get(BASE)
            .status(200)
            .json("/autoConfirm/active", true)
            .json("/autoConfirm/initiator", "the owner")
            .json("/autoConfirm/remark", "always")
            .json(
                "/_links/deactivateAutoConfirm/href",
                "{base}/confirmationBase/deactivateAutoConfirm",
            )
            .lacks("/_links/activateAutoConfirm")
            .satisfies("activatedAt", |response| {
                let at = response.decode()?["autoConfirm"]["activatedAt"].as_i64();
                ensure!(at.is_some_and(|at| at > 1_500_000_000_000), "{at:?}");
                Ok(())
            }),
        case("15", "without a body", Identified)
            .send(reqwest::Method::POST, ACTIVATE)
            .status(200)
            .get(BASE)
            .json("/autoConfirm/active", true),
        case("15", "activating twice is a conflict", Identified)
            .post(ACTIVATE, "{}")
            .status(200)
            .post(ACTIVATE, "{}")
            .error(409, "repo.autoConfAlreadyActive"),
        case("15", "it confirms a waiting update", Offered)
            .post(ACTIVATE, "{}")
            .status(200)
            .get("")
            .status(200)
            .lacks("/_links/confirmationBase")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case("15", "it confirms later updates", Identified)
            .post(ACTIVATE, "{}")
            .status(200)
            .operator(OperatorAction::Assign(
                &NEXT,
                payloads::confirmation_required(),
            ))
            .get("")
            .eventually()
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .lacks("/_links/confirmationBase"),
        case("16", "deactivating is idempotent", Identified)
            .post(ACTIVATE, "{}")
            .status(200)
            .post(DEACTIVATE, "{}")
            .status(200)
            .post(DEACTIVATE, "{}")
            .status(200)
            .get(BASE)
            .json("/autoConfirm/active", false)
            .has("/_links/activateAutoConfirm"),
        case("16", "without a body", Identified)
            .send(reqwest::Method::POST, DEACTIVATE)
            .status(200),
        case("16", "after it updates must be confirmed again", Identified)
            .post(ACTIVATE, "{}")
            .status(200)
            .post(DEACTIVATE, "{}")
            .status(200)
            .operator(OperatorAction::Assign(
                &NEXT,
                payloads::confirmation_required(),
            ))
            .get("")
            .eventually()
            .status(200)
            .contains(
                "/_links/confirmationBase/href",
                "/confirmationBase/{next}?c=",
            ),
        case("16", "a confirmed update stays confirmed", Offered)
            .post(ACTIVATE, "{}")
            .status(200)
            .post(DEACTIVATE, "{}")
            .status(200)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "14",
            "an update that needs no confirmation is offered directly",
            Identified,
        )
        .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
        .get("")
        .eventually()
        .status(200)
        .has("/_links/deploymentBase"),
    ]
}
