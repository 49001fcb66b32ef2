//! Update types other than forced: their descriptions, and when they end.

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, UpdateState, UpdateType},
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
};

const PATH: &str = "deploymentBase/{id}";
const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, device_state: DeviceState, update_type: UpdateType) -> Case {
    Case::new("2", name, device_state).with_options(AssignmentOptions {
        update_type,
        ..AssignmentOptions::default()
    })
}

pub(super) fn cases() -> Vec<Case> {
    let offered = [
        (
            "a soft update may be deferred",
            UpdateType::Soft,
            "attempt",
            "attempt",
        ),
        (
            "a time-forced update in the past is forced",
            UpdateType::TimeForcedPast,
            "forced",
            "forced",
        ),
        (
            "a time-forced update in the future is soft",
            UpdateType::TimeForcedFuture,
            "attempt",
            "attempt",
        ),
        (
            "a download-only update is not to be installed",
            UpdateType::DownloadOnly,
            "forced",
            "skip",
        ),
    ];
    let mut cases: Vec<Case> = offered
        .into_iter()
        .map(|(name, update_type, download, update)| {
            case(name, Offered, update_type)
                .row("5")
                .get(PATH)
                .status(200)
                .json("/deployment/download", download)
                .json("/deployment/update", update)
                .lacks("/deployment/maintenanceWindow")
        })
        .collect();
    cases.extend([
        case(
            "a soft update ends as a forced one does",
            Proceeding,
            UpdateType::Soft,
        )
        .post(FEEDBACK, payloads::feedback("closed", "success"))
        .status(200)
        .get("")
        .lacks("/_links/deploymentBase")
        .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case(
            "downloaded ends a download-only update",
            Proceeding,
            UpdateType::DownloadOnly,
        )
        .post(FEEDBACK, payloads::feedback("downloaded", "none"))
        .status(200)
        .get("")
        .status(200)
        .lacks("/_links/deploymentBase")
        .operator(OperatorAction::ExpectState(UpdateState::Succeeded)),
        case(
            "attributes are requested again after a download-only update",
            Proceeding,
            UpdateType::DownloadOnly,
        )
        .post(FEEDBACK, payloads::feedback("downloaded", "none"))
        .status(200)
        .get("")
        .status(200)
        .has("/_links/configData"),
        case(
            "an ended download-only update cannot be closed",
            Proceeding,
            UpdateType::DownloadOnly,
        )
        .post(FEEDBACK, payloads::feedback("downloaded", "none"))
        .status(200)
        .post(FEEDBACK, payloads::feedback("closed", "success"))
        .status(410),
        case(
            "a download-only update may fail",
            Proceeding,
            UpdateType::DownloadOnly,
        )
        .post(FEEDBACK, payloads::feedback("closed", "failure"))
        .status(200)
        .get("")
        .lacks("/_links/deploymentBase")
        .operator(OperatorAction::ExpectState(UpdateState::Failed)),
        case(
            "download does not end a download-only update",
            Proceeding,
            UpdateType::DownloadOnly,
        )
        .post(FEEDBACK, payloads::feedback("download", "none"))
        .status(200)
        .get("")
        .has("/_links/deploymentBase"),
    ]);
    cases
}
