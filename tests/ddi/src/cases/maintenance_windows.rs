//! Maintenance windows.

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, MaintenanceWindow, UpdateState, UpdateType},
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
};

const PATH: &str = "deploymentBase/{id}";

fn case(name: &str, device_state: DeviceState, window: MaintenanceWindow) -> Case {
    Case::new("5", name, device_state).with_options(AssignmentOptions {
        window,
        ..AssignmentOptions::default()
    })
}

fn ahead(name: &str, device_state: DeviceState) -> Case {
    let options = AssignmentOptions {
        window: MaintenanceWindow::Closed,
        prefetch: true,
        ..AssignmentOptions::default()
    };
    Case::new("5", name, device_state).with_options(options)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "in an open window an update is offered as available",
            Offered,
            MaintenanceWindow::Open,
        )
        .get("")
        .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
        .get(PATH)
        .status(200)
        .json("/deployment/maintenanceWindow", "available")
        .json("/deployment/download", "forced")
        .json("/deployment/update", "forced"),
        case(
            "a soft update in an open window",
            Offered,
            MaintenanceWindow::Open,
        )
        .with_options(AssignmentOptions {
            update_type: UpdateType::Soft,
            window: MaintenanceWindow::Open,
            ..AssignmentOptions::default()
        })
        .get(PATH)
        .status(200)
        .json("/deployment/maintenanceWindow", "available")
        .json("/deployment/download", "attempt")
        .json("/deployment/update", "attempt"),
        case(
            "an update can be closed in an open window",
            Proceeding,
            MaintenanceWindow::Open,
        )
        .post(
            "deploymentBase/{id}/feedback",
            payloads::feedback("closed", "success"),
        )
        .status(200)
        .get("installedBase/{id}")
        .status(200),
        case(
            "outside its window an update is not offered",
            Offered,
            MaintenanceWindow::Closed,
        )
        .get("")
        .status(200)
        .differs(
            12,
            |it| it.has("/_links/deploymentBase"),
            |it| {
                it.lacks("/_links/deploymentBase")
                    .lacks("/_links/cancelAction")
            },
        ),
        case(
            "outside its window an update is not to be installed",
            Offered,
            MaintenanceWindow::Closed,
        )
        .get(PATH)
        .differs(
            12,
            |it| {
                it.status(200)
                    .json("/deployment/update", "skip")
                    .json("/deployment/maintenanceWindow", "unavailable")
            },
            |it| it.status(404),
        ),
        ahead(
            "prefetch: the download is forced, the installation is skipped",
            Offered,
        )
        .get(PATH)
        .status(200)
        .json("/deployment/maintenanceWindow", "unavailable")
        .json("/deployment/download", "forced")
        .json("/deployment/update", "skip"),
        ahead("prefetch: the files can be downloaded", Offered)
            .get("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .bytes(1000),
        ahead(
            "prefetch: closed with success does not end the update",
            Offered,
        )
        .get(PATH)
        .status(200)
        .post(
            "deploymentBase/{id}/feedback",
            payloads::feedback("closed", "success"),
        )
        .status(200)
        .operator(OperatorAction::ExpectState(UpdateState::Open))
        .get("")
        .status(200)
        .lacks("/_links/installedBase"),
    ]
}
