//! Resources 7 and 8: calling an update back.

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
        read_case("a call back has the update's id twice", Cancelling)
            .get(PATH)
            .status(200)
            .json("/id", "{id}")
            .json("/cancelAction/stopId", "{id}"),
        read_case("the link leads there", Cancelling)
            .get("")
            .capture("link", "/_links/cancelAction/href")
            .get("{link}")
            .status(200)
            .json("/cancelAction/stopId", "{id}"),
        read_case("looking at it settles nothing", Cancelling)
            .get(PATH)
            .status(200)
            .get(PATH)
            .status(200)
            .get("")
            .has("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        read_case("one that was agreed to can still be read", Cancelled)
            .get(PATH)
            .status(200),
        read_case("what is not called back is not there", Proceeding)
            .get(PATH)
            .status(404),
        read_case("what is done is not called back", Succeeded)
            .get(PATH)
            .status(404),
        read_case("what failed is not called back", Failed)
            .get(PATH)
            .status(404),
        read_case("another device's update is not there", Identified)
            .get("cancelAction/{other}")
            .status(404),
        read_case("what is no number is no update", Identified)
            .get("cancelAction/abc")
            .status_in(&[400, 404]),
    ]
}

/// Whatever the device did before.
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
        cancelled("before it was looked at", Offered)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .operator(OperatorAction::ExpectState(UpdateState::Cancelled)),
        cancelled("in the middle of a download", Proceeding)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with_header("Range", "bytes=0-9")
            .status(404)
            .get("deploymentBase/{id}")
            .status(404),
        cancelled("and then it was done all the same", Proceeding)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .operator(OperatorAction::ExpectState(UpdateState::Succeeded))
            .get("")
            .lacks("/_links/cancelAction"),
        cancelled("and nobody waits for the device", Proceeding)
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
        // Whether the device is told is the server's: it has begun nothing.
        read_case(
            "while the device's user is asked: they are asked no more",
            Offered,
        )
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
        feedback_case("closed with success agrees", Cancelling)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .empty()
            .get("")
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        feedback_case("closed with none agrees", Cancelling)
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
        feedback_case("agreeing twice is answered alike", Cancelling)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .post(FEEDBACK, payloads::feedback("closed", "success"))
            .status(200)
            .get("")
            .lacks("/_links/cancelAction"),
        feedback_case("what was called back is not installed", Cancelled)
            .get("installedBase/{id}")
            .status(404),
        feedback_case(
            "another word after it is settled opens nothing again",
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
        continues(
            "rejected goes on with the update, to its end",
            "rejected",
            "none",
        ),
        continues(
            "closed with failure goes on with the update, to its end",
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
        feedback_case("what is not called back takes no answer", Proceeding)
            .post(FEEDBACK, end())
            .error(405, "action.notCancelable")
            .get("")
            .has("/_links/deploymentBase"),
        feedback_case("what is done takes no answer", Succeeded)
            .post(FEEDBACK, end())
            .status(405),
        feedback_case("another device's update takes no answer", Proceeding)
            .post("cancelAction/{other}/feedback", end())
            .status(404),
        feedback_case("an update that is not there takes no answer", Proceeding)
            .post("cancelAction/2147483647/feedback", end())
            .status(404),
        feedback_case("an unknown word is none", Cancelling)
            .post(FEEDBACK, payloads::feedback("agreed", "success"))
            .status(400)
            .get("")
            .has("/_links/cancelAction"),
        feedback_case("an answer that cannot be read settles nothing", Cancelling)
            .post(FEEDBACK, "{")
            .status(400)
            .get("")
            .has("/_links/cancelAction"),
    ]
}
