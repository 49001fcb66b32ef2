//! Maintenance windows.

use super::say;
use crate::{
    adapter::{Kind, State, Terms, Window},
    case::{Act, Case, Standing, Standing::*},
};

const PATH: &str = "deploymentBase/{id}";

fn case(name: &str, standing: Standing, window: Window) -> Case {
    Case::new("5", name, standing).on(Terms {
        window,
        ..Terms::default()
    })
}

fn ahead(name: &str, standing: Standing) -> Case {
    let terms = Terms {
        window: Window::Closed,
        prefetch: true,
        ..Terms::default()
    };
    Case::new("5", name, standing).on(terms)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "in an open window an update is as ever, and says so",
            Offered,
            Window::Open,
        )
        .get("")
        .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
        .get(PATH)
        .is(200)
        .json("/deployment/maintenanceWindow", "available")
        .json("/deployment/download", "forced")
        .json("/deployment/update", "forced"),
        case("a soft update in an open window", Offered, Window::Open)
            .on(Terms {
                kind: Kind::Soft,
                window: Window::Open,
                ..Terms::default()
            })
            .get(PATH)
            .is(200)
            .json("/deployment/maintenanceWindow", "available")
            .json("/deployment/download", "attempt")
            .json("/deployment/update", "attempt"),
        case("what is done in an open window is done", Busy, Window::Open)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case(
            "outside its window an update waits",
            Offered,
            Window::Closed,
        )
        .get("")
        .is(200)
        .differs(
            13,
            |it| it.has("/_links/deploymentBase"),
            |it| {
                it.lacks("/_links/deploymentBase")
                    .lacks("/_links/cancelAction")
            },
        ),
        case(
            "outside its window nothing is installed",
            Offered,
            Window::Closed,
        )
        .get(PATH)
        .differs(
            13,
            |it| {
                it.is(200)
                    .json("/deployment/update", "skip")
                    .json("/deployment/maintenanceWindow", "unavailable")
            },
            |it| it.is(404),
        ),
        ahead(
            "fetched ahead, an update is not yet to be installed",
            Offered,
        )
        .get(PATH)
        .is(200)
        .json("/deployment/maintenanceWindow", "unavailable")
        .json("/deployment/download", "forced")
        .json("/deployment/update", "skip"),
        ahead("its files are there", Offered)
            .get("softwaremodules/{module}/artifacts/{file}")
            .is(200)
            .bytes(1000),
        ahead(
            "a client that says it is done with what it skipped is not",
            Offered,
        )
        .get(PATH)
        .is(200)
        .post(
            "deploymentBase/{id}/feedback",
            say::body("closed", "success"),
        )
        .is(200)
        .operator(Act::Find(State::Open))
        .get("")
        .is(200)
        .lacks("/_links/installedBase"),
    ]
}
