//! Updates that are not forced: what the device is told, and when they end.

use super::say;
use crate::{
    adapter::{Kind, State, Terms},
    case::{Act, Case, Standing, Standing::*},
};

const PATH: &str = "deploymentBase/{id}";
const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, standing: Standing, kind: Kind) -> Case {
    Case::new("2", name, standing).on(Terms {
        kind,
        ..Terms::default()
    })
}

pub(super) fn cases() -> Vec<Case> {
    let told = [
        (
            "a soft update may be put off",
            Kind::Soft,
            "attempt",
            "attempt",
        ),
        (
            "a soft update whose time has come is forced",
            Kind::TimeForcedPast,
            "forced",
            "forced",
        ),
        (
            "one whose time is to come is soft",
            Kind::TimeForcedFuture,
            "attempt",
            "attempt",
        ),
        (
            "what is only fetched is not installed",
            Kind::DownloadOnly,
            "forced",
            "skip",
        ),
    ];
    let mut cases: Vec<Case> = told
        .into_iter()
        .map(|(name, kind, download, update)| {
            case(name, Offered, kind)
                .row("5")
                .get(PATH)
                .is(200)
                .json("/deployment/download", download)
                .json("/deployment/update", update)
                .lacks("/deployment/maintenanceWindow")
        })
        .collect();
    cases.extend([
        case("a soft update ends as a forced one does", Busy, Kind::Soft)
            .post(FEEDBACK, say::body("closed", "success"))
            .is(200)
            .get("")
            .lacks("/_links/deploymentBase")
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case(
            "downloaded ends what is only fetched",
            Busy,
            Kind::DownloadOnly,
        )
        .post(FEEDBACK, say::body("downloaded", "none"))
        .is(200)
        .get("")
        .is(200)
        .lacks("/_links/deploymentBase")
        .operator(Act::Find(State::Succeeded)),
        case(
            "attributes are asked for again after it is fetched",
            Busy,
            Kind::DownloadOnly,
        )
        .post(FEEDBACK, say::body("downloaded", "none"))
        .is(200)
        .get("")
        .is(200)
        .has("/_links/configData"),
        case(
            "what was only fetched cannot be closed any more",
            Busy,
            Kind::DownloadOnly,
        )
        .post(FEEDBACK, say::body("downloaded", "none"))
        .is(200)
        .post(FEEDBACK, say::body("closed", "success"))
        .is(410),
        case("what is only fetched may fail", Busy, Kind::DownloadOnly)
            .post(FEEDBACK, say::body("closed", "failure"))
            .is(200)
            .get("")
            .lacks("/_links/deploymentBase")
            .operator(Act::Find(State::Failed)),
        case(
            "fetching goes on until it is said to be over",
            Busy,
            Kind::DownloadOnly,
        )
        .post(FEEDBACK, say::body("download", "none"))
        .is(200)
        .get("")
        .has("/_links/deploymentBase"),
    ]);
    cases
}
