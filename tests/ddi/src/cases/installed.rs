//! Resource 10: what is installed.

use super::say;
use crate::{
    adapter::Terms,
    bundle::NEXT,
    case::{Act, Case, Standing, Standing::*},
};

const PATH: &str = "installedBase/{id}";

fn case(name: &str, standing: Standing) -> Case {
    Case::new("10", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("what is installed is described as it was offered", Done)
            .get(PATH)
            .is(200)
            .json("/id", "{id}")
            .json("/deployment/download", "forced")
            .json("/deployment/chunks/0/version", "2.0.0")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}")
            .json(
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}",
            )
            .lacks("/actionHistory"),
        case("with its history, for whoever asks", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                say::saying("closed", "success", &["done"]),
            )
            .is(200)
            .get(&format!("{PATH}?actionHistory=5"))
            .is(200)
            .json("/actionHistory/messages/0", "done"),
        case("history that is no number", Done)
            .get(&format!("{PATH}?actionHistory=x"))
            .is(400),
        case("the link leads there", Done)
            .get("")
            .keep("link", "/_links/installedBase/href")
            .get("{link}")
            .is(200)
            .json("/id", "{id}"),
        case("looking at it changes nothing", Done)
            .get("")
            .is(200)
            .get(PATH)
            .is(200)
            .get("")
            .is(200)
            .has("/_links/installedBase"),
        case("what was installed before can still be read", Done)
            .operator(Act::Assign(&NEXT, Terms::default()))
            .get("")
            .soon()
            .has("/_links/deploymentBase")
            .post(
                "deploymentBase/{next}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get(PATH)
            .is(200)
            .json("/id", "{id}")
            .get("installedBase/{next}")
            .is(200)
            .json("/deployment/chunks/0/version", "3.0.0"),
        case("what is open is not installed", Busy)
            .get(PATH)
            .is(404),
        case("what is called back is not installed", CalledBack)
            .get(PATH)
            .is(404),
        case("what was called back is not installed", Cancelled)
            .get(PATH)
            .is(404),
        case("what another device installed is not here", Introduced)
            .get("installedBase/{other}")
            .is(404),
        case("what is not there is not installed", Introduced)
            .get("installedBase/2147483647")
            .is(404),
        case(
            "reporting an old version again brings no offer in a loop",
            Done,
        )
        .row("1.5")
        .put("configData", r#"{"data": {"sw_version": "1.0.0"}}"#)
        .is(200)
        .get("")
        .is(200)
        .lacks("/_links/deploymentBase")
        .has("/_links/installedBase"),
    ]
}
