//! What each word of a device makes of its update.

use super::say;
use crate::{
    adapter::{State, State::*},
    case::{Act, Case, Standing},
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

/// What `execution` with `finished` makes of an open update.
fn on_open(execution: &str, finished: &str) -> State {
    match (execution, finished) {
        ("closed", "failure") => Failed,
        ("closed", _) => Succeeded,
        _ => Open,
    }
}

/// What they make of an update that is called back; none: see difference 2.
fn on_called_back(execution: &str, finished: &str) -> Option<State> {
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
    words
        .flat_map(|(execution, finished)| {
            [open(execution, finished), called_back(execution, finished)]
        })
        .collect()
}

fn open(execution: &str, finished: &str) -> Case {
    let state = on_open(execution, finished);
    let case = Case::new(
        "2",
        &format!("deploymentBase: {execution} with {finished}"),
        Standing::Busy,
    )
    .post(
        "deploymentBase/{id}/feedback",
        say::body(execution, finished),
    )
    .is(200)
    .empty()
    .operator(Act::Find(state))
    .get("")
    .is(200);
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

fn called_back(execution: &str, finished: &str) -> Case {
    let name = format!("cancelAction: {execution} with {finished}");
    let case = Case::new("2", &name, Standing::CalledBack)
        .post("cancelAction/{id}/feedback", say::body(execution, finished))
        .is(200)
        .empty();
    let Some(state) = on_called_back(execution, finished) else {
        return case.get("").is(200).differs(
            2,
            |it| it.has("/_links/cancelAction"),
            |it| {
                it.lacks("/_links/cancelAction")
                    .lacks("/_links/deploymentBase")
            },
        );
    };
    let case = case.operator(Act::Find(state)).get("").is(200);
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
