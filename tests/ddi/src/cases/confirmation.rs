//! Resources 12 to 16: updates that the device's user has to agree to.

use anyhow::ensure;
use serde_json::json;

use super::say;
use crate::{
    adapter::{Need, State, Terms},
    bundle::NEXT,
    case::{Act, Case, Standing, Standing::*},
};

const BASE: &str = "confirmationBase";
const PATH: &str = "confirmationBase/{id}";
const FEEDBACK: &str = "confirmationBase/{id}/feedback";
const ON: &str = "confirmationBase/activateAutoConfirm";
const OFF: &str = "confirmationBase/deactivateAutoConfirm";

/// A case about a device whose user is asked, unless it is another.
fn case(row: &'static str, name: &str, standing: Standing) -> Case {
    let case = Case::new(row, name, standing).needing(Need::Confirmation);
    if standing == Offered {
        case.on(say::to_confirm())
    } else {
        case
    }
}

pub(super) fn cases() -> Vec<Case> {
    [
        polled(),
        overview(),
        described(),
        agreed(),
        denied(),
        refused(),
        always(),
    ]
    .concat()
}

fn polled() -> Vec<Case> {
    vec![
        case(
            "1",
            "an update that waits for its user has a link of its own",
            Offered,
        )
        .get("")
        .is(200)
        .contains(
            "/_links/confirmationBase/href",
            "{base}/confirmationBase/{id}?c=",
        )
        .lacks("/_links/deploymentBase")
        .lacks("/_links/cancelAction"),
        case(
            "5",
            "an update that waits for its user is not there",
            Offered,
        )
        .get("deploymentBase/{id}")
        .is(404),
        case(
            "6",
            "an update that waits for its user takes no feedback",
            Offered,
        )
        .post(
            "deploymentBase/{id}/feedback",
            say::body("closed", "success"),
        )
        .is(404)
        .get("")
        .has("/_links/confirmationBase"),
        case(
            "10",
            "an update that waits for its user is not installed",
            Offered,
        )
        .get("installedBase/{id}")
        .is(404),
        case("2", "waiting is a state", Offered).operator(Act::Find(State::Waiting)),
    ]
}

fn overview() -> Vec<Case> {
    vec![
        case("12", "with nothing to confirm", Introduced)
            .get(BASE)
            .is(200)
            .json("/autoConfirm/active", false)
            .lacks("/autoConfirm/initiator")
            .lacks("/autoConfirm/remark")
            .json(
                "/_links/activateAutoConfirm/href",
                "{base}/confirmationBase/activateAutoConfirm",
            )
            .lacks("/_links/deactivateAutoConfirm")
            .lacks("/_links/confirmationBase"),
        case("12", "with something to confirm", Offered)
            .get(BASE)
            .is(200)
            .contains(
                "/_links/confirmationBase/href",
                "{base}/confirmationBase/{id}?c=",
            ),
        case("12", "with another update", Busy)
            .get(BASE)
            .is(200)
            .lacks("/_links/confirmationBase"),
        case("12", "it registers a device as the poll does", Unknown)
            .get(BASE)
            .is(200)
            .put("configData", r#"{"data": {"hw_model": "edge"}}"#)
            .is(200),
        case("12", "it is written to at its own places only", Introduced)
            .post(BASE, "{}")
            .is(405),
    ]
}

fn described() -> Vec<Case> {
    vec![
        case(
            "13",
            "what is to be confirmed is described as an update is",
            Offered,
        )
        .get(PATH)
        .is(200)
        .json("/id", "{id}")
        .lacks("/deployment")
        .json("/confirmation/download", "forced")
        .json("/confirmation/update", "forced")
        .length("/confirmation/chunks", 1)
        .json("/confirmation/chunks/0/part", "os")
        .json("/confirmation/chunks/0/version", "2.0.0")
        .json("/confirmation/chunks/0/artifacts/0/filename", "{file}")
        .json("/confirmation/chunks/0/artifacts/0/size", 1000)
        .json(
            "/confirmation/chunks/0/artifacts/0/hashes/sha256",
            "{sha256}",
        )
        .lacks("/actionHistory"),
        case("13", "the link leads there", Offered)
            .get("")
            .keep("link", "/_links/confirmationBase/href")
            .get("{link}")
            .is(200)
            .json("/id", "{id}"),
        case("13", "c is a number of 32 bits, whichever", Offered)
            .get("confirmationBase/{id}?c=-1")
            .is(200)
            .get("confirmationBase/{id}?c=abc")
            .is(400),
        case("13", "history is no number", Offered)
            .get("confirmationBase/{id}?actionHistory=x")
            .is(400),
        case("13", "what its user said shows in the history", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "denied", "details": ["not now"]}"#,
            )
            .is(200)
            .get("confirmationBase/{id}?actionHistory=10")
            .is(200)
            .that("the message is there", |answer| {
                ensure!(answer.text().contains("not now"));
                Ok(())
            }),
        case("13", "what needs no confirmation is not there", Busy)
            .get(PATH)
            .is(404),
        case("13", "what is done is not there", Done)
            .get(PATH)
            .is(404),
        case("13", "what is called back is not there", CalledBack)
            .get(PATH)
            .is(404),
        case("13", "another device's update is not there", Introduced)
            .get("confirmationBase/{other}")
            .is(404),
        case("13", "what is not there", Introduced)
            .get("confirmationBase/2147483647")
            .is(404),
    ]
}

fn agreed() -> Vec<Case> {
    vec![
        case(
            "14",
            "confirmed goes on with the update, to its end",
            Offered,
        )
        .post(FEEDBACK, say::answer("confirmed"))
        .is(200)
        .empty()
        .get("")
        .is(200)
        .lacks("/_links/confirmationBase")
        .contains(
            "/_links/deploymentBase/href",
            "{base}/deploymentBase/{id}?c=",
        )
        .get("deploymentBase/{id}")
        .is(200)
        .json("/id", "{id}")
        .get("softwaremodules/{module}/artifacts/{file}")
        .is(200)
        .post(
            "deploymentBase/{id}/feedback",
            say::body("closed", "success"),
        )
        .is(200)
        .get("installedBase/{id}")
        .is(200),
        case("14", "confirmed is open", Offered)
            .post(FEEDBACK, say::answer("confirmed"))
            .is(200)
            .operator(Act::Find(State::Open)),
        case(
            "14",
            "what is confirmed is not described for confirmation any more",
            Offered,
        )
        .post(FEEDBACK, say::answer("confirmed"))
        .is(200)
        .get(PATH)
        .is(404),
        case("14", "with a code and in words", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "code": 1, "details": ["as you like"]}"#,
            )
            .is(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("14", "details that are no list", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "details": "as you like"}"#,
            )
            .is(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("14", "details and code of null", Offered)
            .post(
                FEEDBACK,
                r#"{"confirmation": "confirmed", "code": null, "details": null}"#,
            )
            .is(200),
    ]
}

fn denied() -> Vec<Case> {
    vec![
        case("14", "denied is asked again", Offered)
            .post(FEEDBACK, say::answer("denied"))
            .is(200)
            .empty()
            .get("")
            .is(200)
            .contains("/_links/confirmationBase/href", "/confirmationBase/{id}?c=")
            .lacks("/_links/deploymentBase")
            .operator(Act::Find(State::Waiting)),
        case("14", "denied, and then confirmed", Offered)
            .post(FEEDBACK, say::answer("denied"))
            .is(200)
            .post(FEEDBACK, say::answer("denied"))
            .is(200)
            .post(FEEDBACK, say::answer("confirmed"))
            .is(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("14", "confirmed, and then denied: it waits again", Offered)
            .post(FEEDBACK, say::answer("confirmed"))
            .is(200)
            .post(FEEDBACK, say::answer("denied"))
            .is(200)
            .get("")
            .is(200)
            .has("/_links/confirmationBase")
            .lacks("/_links/deploymentBase"),
    ]
}

fn refused() -> Vec<Case> {
    let bodies = [
        ("an unknown word", say::answer("perhaps")),
        ("a word in upper case", say::answer("CONFIRMED")),
        ("no word", "{}".to_owned()),
        ("null", json!({ "confirmation": null }).to_string()),
        (
            "a code that is no number",
            r#"{"confirmation": "confirmed", "code": "x"}"#.to_owned(),
        ),
        ("nothing", String::new()),
    ];
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(what, body)| {
            case("14", &format!("refused: {what}"), Offered)
                .post(FEEDBACK, body)
                .is(400)
                .get("")
                .has("/_links/confirmationBase")
        })
        .collect();
    cases.extend([
        case("14", "what is closed is gone", Done)
            .post(FEEDBACK, say::answer("confirmed"))
            .is(410),
        case("14", "what failed is gone", Failed)
            .post(FEEDBACK, say::answer("denied"))
            .is(410),
        case("14", "another device's update", Offered)
            .post(
                "confirmationBase/{other}/feedback",
                say::answer("confirmed"),
            )
            .is(404),
        case("14", "what is not there", Offered)
            .post(
                "confirmationBase/2147483647/feedback",
                say::answer("confirmed"),
            )
            .is(404),
        case("14", "what is called back", CalledBack)
            .post(FEEDBACK, say::answer("confirmed"))
            .is(404),
    ]);
    cases
}

/// Confirmation once and for all.
fn always() -> Vec<Case> {
    vec![
        case("15", "it shows who switched it on, and why", Introduced)
            .post(ON, r#"{"initiator": "the owner", "remark": "always"}"#)
            .is(200)
            .get(BASE)
            .is(200)
            .json("/autoConfirm/active", true)
            .json("/autoConfirm/initiator", "the owner")
            .json("/autoConfirm/remark", "always")
            .json(
                "/_links/deactivateAutoConfirm/href",
                "{base}/confirmationBase/deactivateAutoConfirm",
            )
            .lacks("/_links/activateAutoConfirm")
            .that("since when", |answer| {
                let at = answer.json()?["autoConfirm"]["activatedAt"].as_i64();
                ensure!(at.is_some_and(|at| at > 1_500_000_000_000), "{at:?}");
                Ok(())
            }),
        case("15", "without a body", Introduced)
            .send(reqwest::Method::POST, ON)
            .is(200)
            .get(BASE)
            .json("/autoConfirm/active", true),
        case("15", "on is on", Introduced)
            .post(ON, "{}")
            .is(200)
            .post(ON, "{}")
            .error(409, "repo.autoConfAlreadyActive"),
        case("15", "it confirms what waits", Offered)
            .post(ON, "{}")
            .is(200)
            .get("")
            .is(200)
            .lacks("/_links/confirmationBase")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        case("15", "it confirms what is to come", Introduced)
            .post(ON, "{}")
            .is(200)
            .operator(Act::Assign(&NEXT, say::to_confirm()))
            .get("")
            .soon()
            .is(200)
            .contains("/_links/deploymentBase/href", "/deploymentBase/{next}?c=")
            .lacks("/_links/confirmationBase"),
        case("16", "off is off, however often", Introduced)
            .post(ON, "{}")
            .is(200)
            .post(OFF, "{}")
            .is(200)
            .post(OFF, "{}")
            .is(200)
            .get(BASE)
            .json("/autoConfirm/active", false)
            .has("/_links/activateAutoConfirm"),
        case("16", "without a body", Introduced)
            .send(reqwest::Method::POST, OFF)
            .is(200),
        case("16", "after it the user is asked again", Introduced)
            .post(ON, "{}")
            .is(200)
            .post(OFF, "{}")
            .is(200)
            .operator(Act::Assign(&NEXT, say::to_confirm()))
            .get("")
            .soon()
            .is(200)
            .contains(
                "/_links/confirmationBase/href",
                "/confirmationBase/{next}?c=",
            ),
        case("16", "what was confirmed stays so", Offered)
            .post(ON, "{}")
            .is(200)
            .post(OFF, "{}")
            .is(200)
            .get("")
            .has("/_links/deploymentBase"),
        case(
            "14",
            "what needs no confirmation is not asked for",
            Introduced,
        )
        .operator(Act::Assign(&NEXT, Terms::default()))
        .get("")
        .soon()
        .is(200)
        .has("/_links/deploymentBase"),
    ]
}
