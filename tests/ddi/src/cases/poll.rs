//! Resource 1: the poll.

use anyhow::ensure;

use super::say;
use crate::{
    adapter::{Terms, Urgency},
    bundle::{NEXT, PLAIN},
    case::{Act, Case, Standing, Standing::*},
};

fn case(name: &str, standing: Standing) -> Case {
    Case::new("1", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    [registered(), offered(), ended(), several()].concat()
}

fn registered() -> Vec<Case> {
    vec![
        case(
            "the first poll registers a device and asks for its attributes",
            Unknown,
        )
        .get("")
        .is(200)
        .json("/_links/configData/href", "{base}/configData")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase")
        .lacks("/_links/installedBase"),
        case(
            "a device that comes many times at once is registered once",
            Unknown,
        )
        .get("")
        .times(20, 10)
        .is(200)
        .has("/_links/configData")
        .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
        .is(200),
        case("attributes are asked for until they come", Known)
            .get("")
            .is(200)
            .has("/_links/configData"),
        case(
            "without anything to do there are no links at all",
            Introduced,
        )
        .get("")
        .is(200)
        .lacks("/_links"),
        case("an operator can ask for attributes again", Introduced)
            .operator(Act::AskAttributes)
            .get("")
            .soon()
            .is(200)
            .has("/_links/configData")
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .is(200)
            .get("")
            .is(200)
            .lacks("/_links"),
        case("sleep is hours, minutes and seconds", Introduced)
            .get("")
            .is(200)
            .that("sleep", |answer| {
                let body = answer.json()?;
                let sleep = body["config"]["polling"]["sleep"]
                    .as_str()
                    .unwrap_or_default();
                let parts: Vec<u32> = sleep.split(':').flat_map(str::parse).collect();
                ensure!(sleep.len() == 8, "{sleep}");
                ensure!(matches!(parts[..], [0..24, 0..60, 0..60]), "{sleep}");
                Ok(())
            }),
        case("parameters do not matter", Introduced)
            .get("?x=y&c=z")
            .is(200),
    ]
}

fn offered() -> Vec<Case> {
    vec![
        case(
            "an update is offered by one link, with its id and a c",
            Offered,
        )
        .get("")
        .is(200)
        .contains(
            "/_links/deploymentBase/href",
            "{base}/deploymentBase/{id}?c=",
        )
        .lacks("/_links/cancelAction")
        .lacks("/_links/confirmationBase"),
        case("c is a number of 32 bits", Offered)
            .get("")
            .is(200)
            .that("c", |answer| {
                let body = answer.json()?;
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
            .keep("link", "/_links/deploymentBase/href")
            .get("{link}")
            .is(200)
            .json("/id", "{id}"),
        case("c changes when the update does", Offered)
            .get("")
            .is(200)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("proceeding", "none"),
            )
            .is(200)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(200),
        case("a poll that nothing happened since is the same", Busy)
            .get("")
            .is(200)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(304)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(304),
        case("a call back takes the place of the offer", CalledBack)
            .get("")
            .is(200)
            .json("/_links/cancelAction/href", "{base}/cancelAction/{id}")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/confirmationBase"),
    ]
}

fn ended() -> Vec<Case> {
    vec![
        case("after a call back is agreed to, nothing is left", Cancelled)
            .get("")
            .is(200)
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
        case("what is installed has a link", Done)
            .get("")
            .is(200)
            .contains("/_links/installedBase/href", "{base}/installedBase/{id}")
            .lacks("/_links/deploymentBase"),
        case("attributes are asked for again after a success", Done)
            .get("")
            .is(200)
            .json("/_links/configData/href", "{base}/configData")
            .put("configData", r#"{"data": {"sw_version": "2.0.0"}}"#)
            .is(200)
            .get("")
            .lacks("/_links/configData"),
        case("what failed is not installed", Failed)
            .get("")
            .is(200)
            .lacks("/_links/installedBase")
            .lacks("/_links/deploymentBase"),
        case("what is installed stays so beside the next offer", Done)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .soon()
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
        case("the next success takes its place", Done)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .soon()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("")
            .is(200)
            .contains("/_links/installedBase/href", "/installedBase/{next}"),
        case("a failure does not", Done)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .soon()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                say::body("closed", "failure"),
            )
            .is(200)
            .get("")
            .is(200)
            .contains("/_links/installedBase/href", "/installedBase/{id}"),
    ]
}

/// Of several updates one is shown at a time.
fn several() -> Vec<Case> {
    let urgent = Terms {
        urgency: Urgency::Urgent,
        ..Terms::default()
    };
    vec![
        case("the urgent one of two updates is shown", Offered)
            .operator(Act::Assign(&NEXT, urgent))
            .get("")
            .soon()
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .post(
                "deploymentBase/{next}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("")
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case("of two that are alike, the older one", Offered)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("")
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c="),
        case("a call back of the one that is shown comes first", Offered)
            .on(urgent)
            .operator(Act::Assign(&PLAIN, Terms::default()))
            .operator(Act::Cancel)
            .get("")
            .soon()
            .is(200)
            .contains("/_links/cancelAction/href", "/cancelAction/{id}")
            .lacks("/_links/deploymentBase")
            .post("cancelAction/{id}/feedback", say::body("closed", "success"))
            .is(200)
            .get("")
            .is(200)
            .lacks("/_links/cancelAction")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c="),
    ]
}
