//! The effect of each status word of a device on its update.

use super::payloads;
use crate::{
    adapter::{UpdateState, UpdateState::*},
    case::{Case, DeviceState, OperatorAction},
};

const EXECUTIONS: [&str; 8] = [
    "closed",
    "proceeding",
    "canceled",
    "scheduled",
    "rejected",
    "resumed",
    "download",
    "downloaded",
];

/// The state of an open update after `execution` with `finished`.
fn when_open(execution: &str, finished: &str) -> UpdateState {
    match (execution, finished) {
        ("closed", "failure") => Failed,
        ("closed", _) => Succeeded,
        _ => Open,
    }
}

/// The state of a cancelling update after it; `None`: see difference 2.
fn when_cancelling(execution: &str, finished: &str) -> Option<UpdateState> {
    match (execution, finished) {
        ("canceled", _) => None,
        ("closed", "failure") | ("rejected", _) => Some(Open),
        ("closed", _) => Some(Cancelled),
        _ => Some(Cancelling),
    }
}

pub(super) fn cases() -> Vec<Case> {
    let words = EXECUTIONS.iter().flat_map(|execution| {
        ["success", "failure", "none"].map(|finished| (*execution, finished))
    });
    let mut cases: Vec<_> = words
        .flat_map(|(execution, finished)| {
            [open(execution, finished), cancelling(execution, finished)]
        })
        .collect();
    cases.extend(["canceled", "rejected"].map(refused_again));
    cases
}

/// The device refuses the update, reads it again, and refuses it with the same words.
fn refused_again(execution: &str) -> Case {
    const PATH: &str = "deploymentBase/{id}";
    const FEEDBACK: &str = "deploymentBase/{id}/feedback";
    let refusal = payloads::feedback(execution, "failure");
    let name =
        format!("deploymentBase: {execution} with failure, before and after it is read again");
    Case::new("2", &name, DeviceState::Offered)
        .get(PATH)
        .status(200)
        .post(FEEDBACK, refusal.clone())
        .times(2, 1)
        .status(200)
        .get("")
        .status(200)
        .has("/_links/deploymentBase")
        .get(PATH)
        .status(200)
        .post(FEEDBACK, refusal)
        .status(200)
        .get("")
        .status(200)
        .differs(
            15,
            |it| it.has("/_links/deploymentBase"),
            |it| it.lacks("/_links/deploymentBase"),
        )
}

fn open(execution: &str, finished: &str) -> Case {
    let state = when_open(execution, finished);
    let case = Case::new(
        "2",
        &format!("deploymentBase: {execution} with {finished}"),
        DeviceState::Proceeding,
    )
    .post(
        "deploymentBase/{id}/feedback",
        payloads::feedback(execution, finished),
    )
    .status(200)
    .empty()
    .operator(OperatorAction::ExpectState(state))
    .get("")
    .status(200);
    match state {
        Open => case
            .has("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
        Succeeded => case
            .lacks("/_links/deploymentBase")
            .has("/_links/installedBase"),
        _ => case
            .lacks("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
    }
}

fn cancelling(execution: &str, finished: &str) -> Case {
    let name = format!("cancelAction: {execution} with {finished}");
    let case = Case::new("2", &name, DeviceState::Cancelling)
        .post(
            "cancelAction/{id}/feedback",
            payloads::feedback(execution, finished),
        )
        .status(200)
        .empty();
    let Some(state) = when_cancelling(execution, finished) else {
        return case.get("").status(200).differs(
            2,
            |it| it.has("/_links/cancelAction"),
            |it| {
                it.lacks("/_links/cancelAction")
                    .lacks("/_links/deploymentBase")
            },
        );
    };
    let case = case
        .operator(OperatorAction::ExpectState(state))
        .get("")
        .status(200);
    match state {
        Open => case
            .has("/_links/deploymentBase")
            .lacks("/_links/cancelAction"),
        Cancelling => case
            .has("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        _ => case
            .lacks("/_links/deploymentBase")
            .lacks("/_links/cancelAction"),
    }
}
