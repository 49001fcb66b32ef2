//! Resources 7 and 8: cancelling an update.

use super::payloads;
use crate::{
    adapter::UpdateState,
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
};

const PATH: &str = "cancelAction/{id}";
const FEEDBACK: &str = "cancelAction/{id}/feedback";

fn read_case(name: &str, device_state: DeviceState) -> Case {
    Case::new("7", name, device_state)
}

fn feedback_case(name: &str, device_state: DeviceState) -> Case {
    Case::new("8", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [
        description(),
        in_each_state(),
        accepted(),
        rejected(),
        without_cancellation(),
    ]
    .concat()
}

fn description() -> Vec<Case> {
    vec![
        read_case("a cancellation has the update's id twice", Cancelling)
            .get(PATH)
            .status(200)
            .json("/id", "{id}")
            .json("/cancelAction/stopId", "{id}"),
        read_case("the link of the poll leads here", Cancelling)
            .get("")
            .capture("link", "/_links/cancelAction/href")
            .get("{link}")
            .status(200)
            .json("/cancelAction/stopId", "{id}"),
        read_case("reading it settles nothing", Cancelling)
            .get(PATH)
            .status(200)
            .get(PATH)
            .status(200)
            .get("")
            .has("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        read_case("a confirmed cancellation can still be read", Cancelled)
            .get(PATH)
            .status(200),
        read_case("an open update has no cancellation", Proceeding)
            .get(PATH)
            .status(404),
        read_case("a succeeded update has no cancellation", Succeeded)
            .get(PATH)
            .status(404),
        read_case("a failed update has no cancellation", Failed)
            .get(PATH)
            .status(404),
        read_case("an update of another device is not found", Identified)
            .get("cancelAction/{other}")
            .status(404),
        read_case("an id that is not a number", Identified)
            .get("cancelAction/abc")
            .status_in(&[400, 404]),
    ]
}

/// Cancelling in each state of the device.
fn in_each_state() -> Vec<Case> {
    let cancelled = |name: &str, device_state: DeviceState| {
        read_case(name, device_state)
            .operator(OperatorAction::Cancel)
            .get("")
            .eventually()
            .status(200)
            .contains("/_links/cancelAction/href", "{base}/cancelAction/{id}")
            .lacks("/_links/deploymentBase")
    };
    vec![
        cancelled("cancelled before it was read", Offered)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .operator(OperatorAction::ExpectState(UpdateState::Cancelled)),
        cancelled("cancelled during a download", Proceeding)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with_header("Range", "bytes=0-9")
            .status(404)
            .get("deploymentBase/{id}")
            .status(404),
        cancelled("cancelled, and then closed with success", Proceeding)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .operator(OperatorAction::ExpectState(UpdateState::Succeeded))
            .get("")
            .lacks("/_links/cancelAction"),
        cancelled("cancelled, and then ended by force", Proceeding)
            .operator(OperatorAction::ForceCancel)
            .get("")
            .eventually()
            .status(200)
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase")
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(410)
            .operator(OperatorAction::ExpectState(UpdateState::Cancelled)),
        // The device has not started, so it is up to the server whether it sees the cancellation.
        read_case("cancelled while it waits for confirmation", Offered)
            .with_options(payloads::confirmation_required())
            .operator(OperatorAction::Cancel)
            .get("")
            .eventually()
            .status(200)
            .lacks("/_links/confirmationBase")
            .lacks("/_links/deploymentBase")
            .post(
                "confirmationBase/{id}/feedback",
                payloads::confirmation("confirmed"),
            )
            .status_in(&[404, 410])
            .get("")
            .lacks("/_links/deploymentBase"),
    ]
}

fn accepted() -> Vec<Case> {
    vec![
        feedback_case("closed with success confirms", Cancelling)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .empty()
            .get("")
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        feedback_case("closed with none confirms", Cancelling)
            .post(FEEDBACK, payloads::feedback("closed", "none"))
            .status(200)
            .get("")
            .lacks("/_links/cancelAction"),
        feedback_case("canceled", Cancelling)
            .post(FEEDBACK, payloads::feedback("canceled", "success"))
            .status(200)
            .get("")
            .differs(
                2,
                |it| it.has("/_links/cancelAction"),
                |it| it.lacks("/_links/cancelAction"),
            ),
        feedback_case("confirming twice is answered the same", Cancelling)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .get("")
            .lacks("/_links/cancelAction"),
        feedback_case("a cancelled update is not installed", Cancelled)
            .get("installedBase/{id}")
            .status(404),
        feedback_case(
            "rejected after a settled cancellation reopens nothing",
            Cancelled,
        )
        .post(FEEDBACK, payloads::feedback("rejected", "none"))
        .differs(2, |it| it.status(200), |it| it.status(410))
        .get("")
        .lacks("/_links/deploymentBase"),
    ]
}

fn rejected() -> Vec<Case> {
    let continues = |name: &str, execution: &str, finished: &str| {
        feedback_case(name, Cancelling)
            .post(FEEDBACK, payloads::feedback(execution, finished))
            .status(200)
            .get("")
            .lacks("/_links/cancelAction")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
            .get("deploymentBase/{id}")
            .status(200)
            .get("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .get(PATH)
            .status(404)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get("installedBase/{id}")
            .status(200)
    };
    vec![
        continues("rejected continues the update", "rejected", "none"),
        continues(
            "closed with failure continues the update",
            "closed",
            "failure",
        ),
        feedback_case("proceeding settles nothing", Cancelling)
            .post(
                FEEDBACK,
                payloads::feedback_with_messages("proceeding", "none", &["in a minute"]),
            )
            .status(200)
            .get("")
            .has("/_links/cancelAction"),
    ]
}

fn without_cancellation() -> Vec<Case> {
    let end = || payloads::feedback("closed", "success");
    vec![
        feedback_case("an open update accepts no cancel feedback", Proceeding)
            .post(FEEDBACK, end())
            .error(405, "action.notCancelable")
            .get("")
            .has("/_links/deploymentBase"),
        feedback_case("a succeeded update accepts no cancel feedback", Succeeded)
            .post(FEEDBACK, end())
            .status(405),
        feedback_case(
            "an update of another device accepts no cancel feedback",
            Proceeding,
        )
        .post("cancelAction/{other}/feedback", end())
        .status(404),
        feedback_case("an unknown update accepts no cancel feedback", Proceeding)
            .post("cancelAction/2147483647/feedback", end())
            .status(404),
        feedback_case("an unknown execution is rejected", Cancelling)
            .post(FEEDBACK, payloads::feedback("agreed", "success"))
            .status(400)
            .get("")
            .has("/_links/cancelAction"),
        feedback_case("invalid JSON settles nothing", Cancelling)
            .post(FEEDBACK, "{")
            .status(400)
            .get("")
            .has("/_links/cancelAction"),
    ]
}
