//! Resources 7 and 8: calling an update back.

use super::say;
use crate::{
    adapter::State,
    case::{Act, Case, Standing, Standing::*},
};

const PATH: &str = "cancelAction/{id}";
const FEEDBACK: &str = "cancelAction/{id}/feedback";

fn read(name: &str, standing: Standing) -> Case {
    Case::new("7", name, standing)
}

fn answered(name: &str, standing: Standing) -> Case {
    Case::new("8", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    [reads(), when(), agreed(), not_agreed(), nothing_to_answer()].concat()
}

fn reads() -> Vec<Case> {
    vec![
        read("a call back has the update's id twice", CalledBack)
            .get(PATH)
            .is(200)
            .json("/id", "{id}")
            .json("/cancelAction/stopId", "{id}"),
        read("the link leads there", CalledBack)
            .get("")
            .keep("link", "/_links/cancelAction/href")
            .get("{link}")
            .is(200)
            .json("/cancelAction/stopId", "{id}"),
        read("looking at it settles nothing", CalledBack)
            .get(PATH)
            .is(200)
            .get(PATH)
            .is(200)
            .get("")
            .has("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        read("one that was agreed to can still be read", Cancelled)
            .get(PATH)
            .is(200),
        read("what is not called back is not there", Busy)
            .get(PATH)
            .is(404),
        read("what is done is not called back", Done)
            .get(PATH)
            .is(404),
        read("what failed is not called back", Failed)
            .get(PATH)
            .is(404),
        read("another device's update is not there", Introduced)
            .get("cancelAction/{other}")
            .is(404),
        read("what is no number is no update", Introduced)
            .get("cancelAction/abc")
            .one_of(&[400, 404]),
    ]
}

/// Whatever the device did before.
fn when() -> Vec<Case> {
    let called_back = |name: &str, standing: Standing| {
        read(name, standing)
            .operator(Act::Cancel)
            .get("")
            .soon()
            .is(200)
            .contains("/_links/cancelAction/href", "{base}/cancelAction/{id}")
            .lacks("/_links/deploymentBase")
    };
    vec![
        called_back("before it was looked at", Offered)
            .post(FEEDBACK, say::body("closed", "success"))
            .is(200)
            .operator(Act::Find(State::Cancelled)),
        called_back("in the middle of a download", Busy)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with("Range", "bytes=0-9")
            .is(404)
            .get("deploymentBase/{id}")
            .is(404),
        called_back("and then it was done all the same", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .operator(Act::Find(State::Succeeded))
            .get("")
            .lacks("/_links/cancelAction"),
        called_back("and nobody waits for the device", Busy)
            .operator(Act::Quit)
            .get("")
            .soon()
            .is(200)
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase")
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(410)
            .operator(Act::Find(State::Cancelled)),
        // Whether the device is told is the server's: it has begun nothing.
        read(
            "while the device's user is asked: they are asked no more",
            Offered,
        )
        .on(say::to_confirm())
        .operator(Act::Cancel)
        .get("")
        .soon()
        .is(200)
        .lacks("/_links/confirmationBase")
        .lacks("/_links/deploymentBase")
        .post("confirmationBase/{id}/feedback", say::answer("confirmed"))
        .one_of(&[404, 410])
        .get("")
        .lacks("/_links/deploymentBase"),
    ]
}

fn agreed() -> Vec<Case> {
    vec![
        answered("closed with success agrees", CalledBack)
            .post(FEEDBACK, say::body("closed", "success"))
            .is(200)
            .empty()
            .get("")
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        answered("closed with none agrees", CalledBack)
            .post(FEEDBACK, say::body("closed", "none"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction"),
        answered("canceled", CalledBack)
            .post(FEEDBACK, say::body("canceled", "success"))
            .is(200)
            .get("")
            .differs(
                2,
                |it| it.has("/_links/cancelAction"),
                |it| it.lacks("/_links/cancelAction"),
            ),
        answered("agreeing twice is answered alike", CalledBack)
            .post(FEEDBACK, say::body("closed", "success"))
            .is(200)
            .post(FEEDBACK, say::body("closed", "success"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction"),
        answered("what was called back is not installed", Cancelled)
            .get("installedBase/{id}")
            .is(404),
        answered(
            "another word after it is settled opens nothing again",
            Cancelled,
        )
        .post(FEEDBACK, say::body("rejected", "none"))
        .differs(2, |it| it.is(200), |it| it.is(410))
        .get("")
        .lacks("/_links/deploymentBase"),
    ]
}

fn not_agreed() -> Vec<Case> {
    let goes_on = |name: &str, execution: &str, finished: &str| {
        answered(name, CalledBack)
            .post(FEEDBACK, say::body(execution, finished))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
            .get("deploymentBase/{id}")
            .is(200)
            .get("softwaremodules/{module}/artifacts/{file}")
            .is(200)
            .get(PATH)
            .is(404)
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200)
            .get("installedBase/{id}")
            .is(200)
    };
    vec![
        goes_on(
            "rejected goes on with the update, to its end",
            "rejected",
            "none",
        ),
        goes_on(
            "closed with failure goes on with the update, to its end",
            "closed",
            "failure",
        ),
        answered("proceeding settles nothing", CalledBack)
            .post(
                FEEDBACK,
                say::saying("proceeding", "none", &["in a minute"]),
            )
            .is(200)
            .get("")
            .has("/_links/cancelAction"),
    ]
}

fn nothing_to_answer() -> Vec<Case> {
    let end = || say::body("closed", "success");
    vec![
        answered("what is not called back takes no answer", Busy)
            .post(FEEDBACK, end())
            .error(405, "action.notCancelable")
            .get("")
            .has("/_links/deploymentBase"),
        answered("what is done takes no answer", Done)
            .post(FEEDBACK, end())
            .is(405),
        answered("another device's update takes no answer", Busy)
            .post("cancelAction/{other}/feedback", end())
            .is(404),
        answered("an update that is not there takes no answer", Busy)
            .post("cancelAction/2147483647/feedback", end())
            .is(404),
        answered("an unknown word is none", CalledBack)
            .post(FEEDBACK, say::body("agreed", "success"))
            .is(400)
            .get("")
            .has("/_links/cancelAction"),
        answered("an answer that cannot be read settles nothing", CalledBack)
            .post(FEEDBACK, "{")
            .is(400)
            .get("")
            .has("/_links/cancelAction"),
    ]
}
