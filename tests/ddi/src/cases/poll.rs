//! Resource 1: the poll.

use anyhow::ensure;

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, Priority},
    bundle::{NEXT, SINGLE_FILE},
    case::{Case, DeviceState, DeviceState::*, OperatorAction},
    response::DecodeBody as _,
};

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("1", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [registration(), offer(), after_the_end(), several_updates()].concat()
}

fn registration() -> Vec<Case> {
    vec![
        case(
            "the first poll registers a device and requests its attributes",
            Unknown,
        )
        .get("")
        .status(200)
        .json("/_links/configData/href", "{base}/configData")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase")
        .lacks("/_links/installedBase"),
        case("concurrent first polls register a device once", Unknown)
            .get("")
            .times(20, 10)
            .status(200)
            .has("/_links/configData")
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .status(200),
        case("attributes are requested until they are sent", Registered)
            .get("")
            .status(200)
            .has("/_links/configData"),
        case("there are no links if there is nothing to do", Identified)
            .get("")
            .status(200)
            .lacks("/_links"),
        case("an operator can request attributes again", Identified)
            .operator(OperatorAction::RequestAttributes)
            .get("")
            .eventually()
            .status(200)
            .has("/_links/configData")
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .status(200)
            .get("")
            .status(200)
            .lacks("/_links"),
        case("sleep is hours, minutes and seconds", Identified)
            .get("")
            .status(200)
            .satisfies("sleep", |response| {
                let body = response.decode()?;
                let sleep = body["config"]["polling"]["sleep"]
                    .as_str()
                    .unwrap_or_default();
                let parts: Vec<u32> = sleep.split(':').flat_map(str::parse).collect();
                ensure!(sleep.len() == 8, "{sleep}");
                ensure!(matches!(parts[..], [0..24, 0..60, 0..60]), "{sleep}");
                Ok(())
            }),
        case("unknown parameters are ignored", Identified)
            .get("?x=y&c=z")
            .status(200),
    ]
}

fn offer() -> Vec<Case> {
    vec![
        case(
            "an update is offered by one link with its id and a c",
            Offered,
        )
        .get("")
        .status(200)
        .contains(
            "/_links/deploymentBase/href",
            "{base}/deploymentBase/{id}?c=",
        )
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase"),
        case("c is a 32-bit number", Offered)
            .get("")
            .status(200)
            .satisfies("c", |response| {
                let body = response.decode()?;
                let href = body["_links"]["deploymentBase"]["href"]
                    .as_str()
                    .unwrap_or_default();
                href.rsplit("?c=")
                    .next()
                    .unwrap_or_default()
                    .parse::<i32>()?;
                Ok(())
            }),
        case("the link leads to the update", Offered)
            .get("")
            .capture("link", "/_links/deploymentBase/href")
            .get("{link}")
            .status(200)
            .json("/id", "{id}"),
        case("c changes with the update", Offered)
            .get("")
            .status(200)
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("proceeding", "none"),
            )
            .status(200)
            .get("")
            .with_header("If-None-Match", "{etag}")
            .status(200),
        case("a poll is unchanged if nothing happened", Proceeding)
            .get("")
            .status(200)
            .get("")
            .with_header("If-None-Match", "{etag}")
            .status(304)
            .get("")
            .with_header("If-None-Match", "{etag}")
            .status(304),
        case("a cancellation replaces the offer", Cancelling)
            .get("")
            .status(200)
            .json("/_links/cancelAction/href", "{base}/cancelAction/{id}")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/confirmationBase"),
    ]
}

fn after_the_end() -> Vec<Case> {
    vec![
        case(
            "there are no links after a confirmed cancellation",
            Cancelled,
        )
        .get("")
        .status(200)
        .lacks("/_links/cancelAction")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/installedBase"),
        case("the installed update has a link", Succeeded)
            .get("")
            .status(200)
            .contains("/_links/installedBase/href", "{base}/installedBase/{id}")
            .lacks("/_links/deploymentBase"),
        case("attributes are requested again after a success", Succeeded)
            .get("")
            .status(200)
            .json("/_links/configData/href", "{base}/configData")
            .put("configData", r#"{"data": {"sw_version": "2.0.0"}}"#)
            .status(200)
            .get("")
            .lacks("/_links/configData"),
        case("a failed update is not installed", Failed)
            .get("")
            .status(200)
            .lacks("/_links/installedBase")
            .lacks("/_links/deploymentBase"),
        case(
            "the next offer keeps the link to the installed update",
            Succeeded,
        )
        .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
        .get("")
        .eventually()
        .status(200)
        .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
        .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case("the next success replaces the installed update", Succeeded)
            .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
            .get("")
            .eventually()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get("")
            .status(200)
            .contains("/_links/installedBase/href", "/installedBase/{next}"),
        case("a failure does not replace the installed update", Succeeded)
            .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
            .get("")
            .eventually()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                payloads::feedback("closed", "failure"),
            )
            .status(200)
            .get("")
            .status(200)
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
    ]
}

/// Only one of several updates is shown at a time.
fn several_updates() -> Vec<Case> {
    let urgent = AssignmentOptions {
        priority: Priority::Urgent,
        ..AssignmentOptions::default()
    };
    vec![
        case("the update with the higher priority is shown", Offered)
            .operator(OperatorAction::Assign(&NEXT, urgent))
            .get("")
            .eventually()
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .post(
                "deploymentBase/{next}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200)
            .get("")
            .status(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case(
            "of two updates with equal priority the older is shown",
            Offered,
        )
        .operator(OperatorAction::Assign(&NEXT, AssignmentOptions::default()))
        .get("")
        .status(200)
        .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
        .post(
            "deploymentBase/{id}/feedback",
            payloads::feedback("closed", "success"),
        )
        .status(200)
        .get("")
        .status(200)
        .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c="),
        case(
            "the cancellation of the shown update comes before the next offer",
            Offered,
        )
        .with_options(urgent)
        .operator(OperatorAction::Assign(
            &SINGLE_FILE,
            AssignmentOptions::default(),
        ))
        .operator(OperatorAction::Cancel)
        .get("")
        .eventually()
        .status(200)
        .contains("/_links/cancelAction/href", "/cancelAction/{id}")
        .lacks("/_links/deploymentBase")
        .post(
            "cancelAction/{id}/feedback",
            payloads::feedback("closed", "success"),
        )
        .status(200)
        .get("")
        .status(200)
        .lacks("/_links/cancelAction")
        .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c="),
    ]
}
