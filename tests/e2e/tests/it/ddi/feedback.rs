//! Resource 6: what devices say of updates.

use serde_json::json;

use super::case::{Case, Standing::*, case};

const PATH: &str = "deploymentBase/{id}/feedback";

/// A feedback as JSON text.
pub(super) fn body(execution: &str, finished: &str) -> String {
    saying(execution, finished, &[])
}

/// A feedback with messages.
pub(super) fn saying(execution: &str, finished: &str, messages: &[&str]) -> String {
    json!({ "status": { "execution": execution, "result": { "finished": finished }, "details": messages } }).to_string()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = intermediate();
    cases.extend(closing());
    cases.extend(again());
    cases.extend(tolerated());
    cases.extend(refused());
    cases
}

/// Everything but `closed` leaves the update open.
fn intermediate() -> Vec<Case> {
    let executions = [
        "proceeding",
        "scheduled",
        "resumed",
        "download",
        "downloaded",
        "rejected",
        "canceled",
    ];
    let open = |execution: &str| {
        case(&format!("{execution} leaves the update open"), Offered)
            .post(PATH, body(execution, "none"))
            .is(200)
            .empty()
            .get("")
            .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
            .get("installedBase/{id}")
            .is(404)
    };
    let early = |finished: &str| {
        case(
            &format!("proceeding with {finished} leaves it open too"),
            Busy,
        )
        .post(PATH, body("proceeding", finished))
        .is(200)
        .get("")
        .has("/_links/deploymentBase")
    };
    executions
        .into_iter()
        .map(open)
        .chain(["success", "failure"].into_iter().map(early))
        .collect()
}

fn closing() -> Vec<Case> {
    vec![
        case("closed with success is the end", Busy)
            .post(PATH, body("closed", "success"))
            .is(200)
            .get("")
            .lacks("/_links/deploymentBase")
            .contains("/_links/installedBase/href", "/installedBase/{id}")
            .get("installedBase/{id}")
            .is(200),
        case("closed with none is success", Busy)
            .post(PATH, body("closed", "none"))
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("closed with failure is the end", Busy)
            .post(PATH, body("closed", "failure"))
            .is(200)
            .get("")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
        case("a device may close what it never fetched", Offered)
            .post(PATH, body("closed", "success"))
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("what is done while it is called back is done", CalledBack)
            .post(PATH, body("closed", "success"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction")
            .has("/_links/installedBase"),
        case("what fails while it is called back failed", CalledBack)
            .post(PATH, body("closed", "failure"))
            .is(200)
            .get("")
            .lacks("/_links/cancelAction")
            .lacks("/_links/installedBase"),
        case("proceeding does not stop a call back", CalledBack)
            .post(PATH, body("proceeding", "none"))
            .is(200)
            .get("")
            .has("/_links/cancelAction"),
    ]
}

fn again() -> Vec<Case> {
    vec![
        case("the same twice is answered alike", Busy)
            .post(PATH, saying("proceeding", "none", &["half way"]))
            .is(200)
            .post(PATH, saying("proceeding", "none", &["half way"]))
            .is(200)
            .get("deploymentBase/{id}?actionHistory=100")
            .that("it is kept once", |answer| {
                let count = answer.text().matches("half way").count();
                anyhow::ensure!(count == 1, "it is kept {count} times");
                Ok(())
            }),
        case("the same end twice is answered alike", Busy)
            .post(PATH, body("closed", "success"))
            .is(200)
            .post(PATH, body("closed", "success"))
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("another end after the end is gone", Done)
            .post(PATH, body("closed", "failure"))
            .is(410)
            .empty()
            .get("installedBase/{id}")
            .is(200),
        case("anything after the end is gone", Failed)
            .post(PATH, body("proceeding", "none"))
            .is(410)
            .empty(),
        case(
            "anything after a call back is settled is gone, and reopens nothing",
            Cancelled,
        )
        .post(PATH, saying("proceeding", "none", &["still here"]))
        .is(410)
        .post(PATH, body("closed", "success"))
        .is(410)
        .get("")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/installedBase"),
    ]
}

/// What clients send, and what they send too much of.
fn tolerated() -> Vec<Case> {
    let long = "x".repeat(2000);
    let many = vec!["m"; 200];
    let bodies = [
        (
            "a time of the device",
            json!({ "timestamp": 1_627_997_501_890_i64, "status": { "execution": "proceeding", "result": { "finished": "none" } } }),
        ),
        (
            "a time that cannot be",
            json!({ "timestamp": i64::MAX, "status": { "execution": "proceeding", "result": { "finished": "none" } } }),
        ),
        (
            "progress",
            json!({ "status": { "execution": "proceeding", "result": { "finished": "none", "progress": { "cnt": 2, "of": 5 } } } }),
        ),
        (
            "progress that is empty",
            json!({ "status": { "execution": "proceeding", "result": { "finished": "none", "progress": {} } } }),
        ),
        (
            "progress in part",
            json!({ "status": { "execution": "proceeding", "result": { "finished": "none", "progress": { "cnt": 2 } } } }),
        ),
        (
            "progress of null",
            json!({ "status": { "execution": "proceeding", "result": { "finished": "none", "progress": null } } }),
        ),
        (
            "a code",
            json!({ "status": { "execution": "proceeding", "code": 200, "result": { "finished": "none" } } }),
        ),
        (
            "one message that is no list",
            json!({ "status": { "execution": "proceeding", "details": "alone", "result": { "finished": "none" } } }),
        ),
        (
            "no list of messages",
            json!({ "status": { "execution": "proceeding", "details": null, "result": { "finished": "none" } } }),
        ),
        (
            "a long message",
            json!({ "status": { "execution": "proceeding", "details": [long], "result": { "finished": "none" } } }),
        ),
        (
            "many messages",
            json!({ "status": { "execution": "proceeding", "details": many, "result": { "finished": "none" } } }),
        ),
        (
            "what looks like HTML",
            json!({ "status": { "execution": "proceeding", "details": ["<b>50 %</b>"], "result": { "finished": "none" } } }),
        ),
        (
            "a zero byte",
            json!({ "status": { "execution": "proceeding", "details": ["a\u{0}b"], "result": { "finished": "none" } } }),
        ),
        (
            "other alphabets",
            json!({ "status": { "execution": "proceeding", "details": ["прошивка 固件 🌊"], "result": { "finished": "none" } } }),
        ),
        (
            "unknown fields",
            json!({ "more": [1], "status": { "also": {}, "execution": "proceeding", "result": { "finished": "none", "x": 1 } } }),
        ),
    ];
    bodies
        .into_iter()
        .map(|(what, body)| {
            case(&format!("tolerated: {what}"), Busy)
                .post(PATH, body.to_string())
                .is(200)
                .post(PATH, self::body("closed", "success"))
                .is(200)
        })
        .collect()
}

fn refused() -> Vec<Case> {
    let bodies = [
        ("nothing", String::new()),
        ("no JSON", "{".to_owned()),
        ("a list", "[]".to_owned()),
        ("null", "null".to_owned()),
        ("no status", "{}".to_owned()),
        ("no execution", r#"{"status": {"result": {"finished": "none"}}}"#.to_owned()),
        ("no result", r#"{"status": {"execution": "closed"}}"#.to_owned()),
        ("no finished", r#"{"status": {"execution": "closed", "result": {}}}"#.to_owned()),
        ("an unknown execution", body("exploded", "none")),
        ("an execution in upper case", body("CLOSED", "success")),
        ("an unknown end", body("closed", "maybe")),
        ("a code that is no number", r#"{"status": {"execution": "closed", "code": "x", "result": {"finished": "success"}}}"#.to_owned()),
        ("a timestamp that is no number", r#"{"timestamp": "now", "status": {"execution": "closed", "result": {"finished": "success"}}}"#.to_owned()),
        ("deep nesting", "[".repeat(100_000)),
        ("bytes that are no UTF-8", "\u{1}".to_owned()),
    ];
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(what, body)| {
            case(&format!("refused: {what}"), Busy)
                .post(PATH, body)
                .is(400)
                .get("")
                .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
        })
        .collect();
    cases.extend([
        case("refused: more than a megabyte", Busy)
            .post(PATH, saying("closed", "success", &[&"x".repeat(2 << 20)]))
            .one_of(&[400, 413])
            .get("")
            .has("/_links/deploymentBase"),
        case("an error tells what it is", Busy)
            .post(PATH, "{")
            .is(400)
            .json("/errorCode", "hawkbit.server.error.rest.body.notReadable")
            .has("/exceptionClass")
            .has("/message"),
        case("feedback for another device's update is for none", Busy)
            .post("deploymentBase/{other}/feedback", body("closed", "success"))
            .is(404),
        case("feedback for an update that is not there", Busy)
            .post(
                "deploymentBase/2147483647/feedback",
                body("closed", "success"),
            )
            .is(404),
        case("feedback of a device that nobody knows", Unknown)
            .post("deploymentBase/{other}/feedback", body("closed", "success"))
            .is(404),
        case("feedback is not read", Busy).get(PATH).is(405),
    ]);
    cases
}
