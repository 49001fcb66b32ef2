//! Resources 7 and 8: calling an update back.

use reqwest::Method;

use super::{
    case::{Case, Standing::*, case},
    feedback::body,
};

const PATH: &str = "cancelAction/{id}/feedback";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a call back names the update three times", CalledBack)
            .get("cancelAction/{id}")
            .is(200)
            .json("/id", "{id}")
            .json("/cancelAction/stopId", "{id}"),
        case(
            "a call back that was agreed to can still be read",
            Cancelled,
        )
        .get("cancelAction/{id}")
        .is(200),
        case("what is not called back is not there", Busy)
            .get("cancelAction/{id}")
            .is(404),
        case("what is done is not called back", Done)
            .get("cancelAction/{id}")
            .is(404),
        case("another device's call back is not there", Introduced)
            .get("cancelAction/{other}")
            .is(404),
        case("closed with success agrees", CalledBack)
            .post(PATH, body("closed", "success"))
            .is(200)
            .empty()
            .get("")
            .lacks("/_links/cancelAction")
            .lacks("/_links/deploymentBase"),
        case("closed with none agrees", CalledBack)
            .post(PATH, body("closed", "none"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction"),
        case("canceled agrees", CalledBack)
            .post(PATH, body("canceled", "success"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction"),
        case("agreeing twice is answered alike", CalledBack)
            .post(PATH, body("closed", "success"))
            .is(200)
            .post(PATH, body("closed", "success"))
            .is(200),
        case("rejected goes on with the update", CalledBack)
            .post(PATH, body("rejected", "none"))
            .is(200)
            .get("deploymentBase/{id}")
            .is(200),
        case("closed with failure goes on with the update", CalledBack)
            .post(PATH, body("closed", "failure"))
            .is(200)
            .get("deploymentBase/{id}")
            .is(200),
        case("proceeding settles nothing", CalledBack)
            .post(PATH, body("proceeding", "none"))
            .is(200)
            .get("")
            .has("/_links/cancelAction"),
        case(
            "rejected after it is settled is gone, and reopens nothing",
            Cancelled,
        )
        .post(PATH, body("rejected", "none"))
        .is(410)
        .get("")
        .lacks("/_links/deploymentBase"),
        case("what is not called back takes no answer", Busy)
            .post(PATH, body("closed", "success"))
            .is(405)
            .get("")
            .has("/_links/deploymentBase"),
        case("what is done takes no answer", Done)
            .post(PATH, body("closed", "success"))
            .is(405),
        case("another device's call back takes no answer", Busy)
            .post("cancelAction/{other}/feedback", body("closed", "success"))
            .is(404),
        case("a call back that is not there takes no answer", Busy)
            .post(
                "cancelAction/2147483647/feedback",
                body("closed", "success"),
            )
            .is(404),
        case("an answer that cannot be read", CalledBack)
            .post(PATH, "{")
            .is(400)
            .get("")
            .has("/_links/cancelAction"),
        case("a call back is not written to", CalledBack)
            .send(Method::POST, "cancelAction/{id}")
            .is(405),
    ]
}
