//! Resource 6: feedback on updates.

use anyhow::ensure;
use serde_json::{Value, json};

use super::payloads;
use crate::case::{Case, DeviceState, DeviceState::*};

const PATH: &str = "deploymentBase/{id}/feedback";
const HISTORY: &str = "deploymentBase/{id}?actionHistory=100";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("6", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [
        closing(),
        repeated(),
        tolerated(),
        limits(),
        rejected(),
        ownership(),
    ]
    .concat()
}

fn closing() -> Vec<Case> {
    vec![
        case("closed with success ends the update", Proceeding)
            .post(PATH, payloads::feedback("closed", "success"))
            .status(200)
            .empty()
            .get("")
            .lacks("/_links/deploymentBase")
            .contains("/_links/installedBase/href", "/installedBase/{id}")
            .get("installedBase/{id}")
            .status(200),
        case("closed with none is success", Proceeding)
            .post(PATH, payloads::feedback("closed", "none"))
            .status(200)
            .get("installedBase/{id}")
            .status(200),
        case("closed with failure ends the update", Proceeding)
            .post(PATH, payloads::feedback("closed", "failure"))
            .status(200)
            .get("")
            .lacks("/_links/deploymentBase")
            .lacks("/_links/installedBase"),
        case("a device may close an update without reading it", Offered)
            .post(PATH, payloads::feedback("closed", "success"))
            .status(200)
            .get("installedBase/{id}")
            .status(200),
        case(
            "closed with success while cancelling is a success",
            Cancelling,
        )
        .post(PATH, payloads::feedback("closed", "success"))
        .status(200)
        .get("")
        .lacks("/_links/cancelAction")
        .has("/_links/installedBase"),
        case(
            "closed with failure while cancelling is a failure",
            Cancelling,
        )
        .post(PATH, payloads::feedback("closed", "failure"))
        .status(200)
        .get("")
        .lacks("/_links/cancelAction")
        .lacks("/_links/installedBase"),
        case("proceeding does not stop a cancellation", Cancelling)
            .post(PATH, payloads::feedback("proceeding", "none"))
            .status(200)
            .get("")
            .has("/_links/cancelAction"),
    ]
}

fn repeated() -> Vec<Case> {
    let half_way = || payloads::feedback_with_messages("proceeding", "none", &["half way"]);
    vec![
        case("repeated feedback is accepted", Proceeding)
            .post(PATH, half_way())
            .status(200)
            .post(PATH, half_way())
            .status(200)
            .get(HISTORY)
            .differs(
                3,
                |it| it.length("/actionHistory/messages", 2),
                |it| it.json("/actionHistory/messages", json!(["half way"])),
            ),
        case("repeated closing feedback", Proceeding)
            .post(PATH, payloads::feedback("closed", "success"))
            .status(200)
            .post(PATH, payloads::feedback("closed", "success"))
            .differs(3, |it| it.status(410), |it| it.status(200).empty())
            .get("installedBase/{id}")
            .status(200),
        case("concurrent different feedback is accepted", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &["line {n}"]),
            )
            .times(30, 15)
            .differs(3, |it| it.status_in(&[200, 409]), |it| it.status(200))
            .get(HISTORY)
            .differs(
                3,
                |it| it.has("/actionHistory/messages/0"),
                |it| it.length("/actionHistory/messages", 30),
            ),
        case("concurrent equal feedback is accepted", Proceeding)
            .post(PATH, half_way())
            .times(20, 20)
            .differs(3, |it| it.status_in(&[200, 409]), |it| it.status(200))
            .get(HISTORY)
            .differs(
                3,
                |it| it.has("/actionHistory/messages/0"),
                |it| it.json("/actionHistory/messages", json!(["half way"])),
            ),
        case("a different end of an ended update is 410", Succeeded)
            .post(PATH, payloads::feedback("closed", "failure"))
            .status(410)
            .empty()
            .get("installedBase/{id}")
            .status(200),
        case("feedback on an ended update is 410", Failed)
            .post(PATH, payloads::feedback("proceeding", "none"))
            .status(410)
            .empty(),
        case(
            "feedback after a settled cancellation is 410 and reopens nothing",
            Cancelled,
        )
        .post(
            PATH,
            payloads::feedback_with_messages("proceeding", "none", &["still here"]),
        )
        .status(410)
        .post(PATH, payloads::feedback("closed", "success"))
        .status(410)
        .get("")
        .lacks("/_links/deploymentBase")
        .lacks("/_links/installedBase"),
    ]
}

/// A feedback body with these changes merged into it.
fn feedback_with(changes: &Value) -> String {
    let mut body =
        json!({ "status": { "execution": "proceeding", "result": { "finished": "none" } } });
    merge(&mut body, changes);
    body.to_string()
}

fn merge(body: &mut Value, changes: &Value) {
    match (body, changes) {
        (Value::Object(body), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(body.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (body, change) => *body = change.clone(),
    }
}

/// Optional, unknown and unusual fields that must be accepted.
fn tolerated() -> Vec<Case> {
    let progress = |progress: Value| json!({ "status": { "result": { "progress": progress } } });
    let bodies = [
        (
            "a device timestamp",
            json!({ "timestamp": 1_627_997_501_890_i64 }),
        ),
        ("a timestamp out of range", json!({ "timestamp": i64::MAX })),
        ("a negative timestamp", json!({ "timestamp": -1 })),
        ("a timestamp of null", json!({ "timestamp": null })),
        ("progress", progress(json!({ "cnt": 2, "of": 5 }))),
        ("empty progress", progress(json!({}))),
        ("progress without of", progress(json!({ "cnt": 2 }))),
        ("progress without cnt", progress(json!({ "of": 2 }))),
        ("progress of null", progress(json!(null))),
        (
            "progress above 100 %",
            progress(json!({ "cnt": 9, "of": 5 })),
        ),
        (
            "progress of 0 steps",
            progress(json!({ "cnt": 0, "of": 0 })),
        ),
        ("a code", json!({ "status": { "code": 200 } })),
        ("a negative code", json!({ "status": { "code": -1 } })),
        ("a code of null", json!({ "status": { "code": null } })),
        (
            "one message without a list",
            json!({ "status": { "details": "alone" } }),
        ),
        ("messages of null", json!({ "status": { "details": null } })),
        (
            "an empty list of messages",
            json!({ "status": { "details": [] } }),
        ),
        (
            "non-ASCII messages",
            json!({ "status": { "details": ["прошивка 固件 🌊"] } }),
        ),
        ("an id as a string", json!({ "id": "{id}" })),
        ("an empty id", json!({ "id": "" })),
        ("an id as a number", json!({ "id": 7 })),
        ("the id of another update", json!({ "id": "{other}" })),
        (
            "a time in SWUpdate's format",
            json!({ "time": "20260101T000000" }),
        ),
        ("an invalid time", json!({ "time": "later" })),
        ("a time as a number", json!({ "time": 5 })),
        (
            "unknown fields",
            json!({ "more": [1], "status": { "also": {}, "result": { "x": 1 } } }),
        ),
    ];
    bodies
        .into_iter()
        .map(|(what, changes)| {
            case(&format!("tolerated: {what}"), Proceeding)
                .post(PATH, feedback_with(&changes))
                .status(200)
                .post(PATH, payloads::feedback("closed", "success"))
                .status(200)
        })
        .collect()
}

fn limits() -> Vec<Case> {
    let fifty = vec!["m"; 50];
    let more = vec!["m"; 51];
    let long = "x".repeat(512);
    let longer = "x".repeat(600);
    vec![
        case("fifty messages are accepted", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &fifty),
            )
            .status(200)
            .get(HISTORY)
            .length("/actionHistory/messages", 50),
        case("more than fifty messages", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &more),
            )
            .differs(
                4,
                |it| it.error(429, "quota.tooManyEntries"),
                |it| it.status(200),
            )
            .get("")
            .has("/_links/deploymentBase"),
        case("more than fifty messages with closed", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("closed", "success", &more),
            )
            .differs(
                4,
                |it| it.error(429, "quota.tooManyEntries"),
                |it| it.status(200),
            ),
        case("a message of 512 characters is stored whole", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &[&long]),
            )
            .status(200)
            .get(HISTORY)
            .json("/actionHistory/messages", json!([long])),
        case("a message of 600 characters", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &[&longer]),
            )
            .status(200)
            .get(HISTORY)
            .differs(
                4,
                |it| it.length("/actionHistory/messages", 2),
                |it| it.json("/actionHistory/messages", json!([long])),
            ),
        case("characters are counted, not bytes", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &[&"é".repeat(512)]),
            )
            .status(200)
            .get(HISTORY)
            .json("/actionHistory/messages", json!(["é".repeat(512)])),
        case("a message that looks like HTML", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("proceeding", "none", &["<b>50 %</b>"]),
            )
            .differs(4, |it| it.status(400), |it| it.status(200))
            .get(HISTORY)
            .differs(
                4,
                |it| it.lacks("/actionHistory"),
                |it| it.json("/actionHistory/messages", json!(["<b>50 %</b>"])),
            ),
        case("a message that looks like HTML, with closed", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages(
                    "closed",
                    "success",
                    &["<script>alert(1)</script>"],
                ),
            )
            .differs(4, |it| it.status(400), |it| it.status(200)),
        case("a zero character in a message", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("closed", "success", &["a\u{0}b"]),
            )
            .differs(4, |it| it.status_in(&[200, 400]), |it| it.status(200)),
        case(
            "a thousand feedbacks are accepted, then only closed",
            Proceeding,
        )
        .post(
            PATH,
            payloads::feedback_with_messages("proceeding", "none", &["line {n}"]),
        )
        .times(990, 30)
        .status(200)
        .post(
            PATH,
            payloads::feedback_with_messages("proceeding", "none", &["another {n}"]),
        )
        .times(15, 1)
        .status_in(&[200, 429])
        .post(
            PATH,
            payloads::feedback_with_messages("proceeding", "none", &["one too many"]),
        )
        .error(429, "quota.tooManyEntries")
        .post(PATH, payloads::feedback("closed", "success"))
        .status(200)
        .get("installedBase/{id}")
        .status(200),
    ]
}

fn rejected() -> Vec<Case> {
    let status = |status: Value| json!({ "status": status }).to_string();
    let bodies = [
        ("an empty body", String::new()),
        ("a list", "[]".to_owned()),
        ("null", "null".to_owned()),
        ("a string", "\"closed\"".to_owned()),
        ("no status", "{}".to_owned()),
        ("a status of null", status(Value::Null)),
        (
            "no execution",
            status(json!({ "result": { "finished": "none" } })),
        ),
        ("no result", status(json!({ "execution": "closed" }))),
        (
            "no finished",
            status(json!({ "execution": "closed", "result": {} })),
        ),
        (
            "an unknown execution",
            payloads::feedback("exploded", "none"),
        ),
        (
            "an execution in upper case",
            payloads::feedback("CLOSED", "success"),
        ),
        ("an unknown result", payloads::feedback("closed", "maybe")),
        (
            "a result in upper case",
            payloads::feedback("closed", "SUCCESS"),
        ),
        (
            "a code that is not a number",
            feedback_with(&json!({ "status": { "code": "x" } })),
        ),
        (
            "a code beyond 32 bits",
            feedback_with(&json!({ "status": { "code": 2_147_483_648_i64 } })),
        ),
        (
            "a timestamp that is not a number",
            feedback_with(&json!({ "timestamp": "now" })),
        ),
        (
            "messages that are not strings",
            feedback_with(&json!({ "status": { "details": {} } })),
        ),
        ("deep nesting", "[".repeat(100_000)),
        ("a control character", "\u{1}".to_owned()),
    ];
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(what, body)| {
            case(&format!("rejected: {what}"), Proceeding)
                .post(PATH, body)
                .status(400)
                .has("/errorCode")
                .get("")
                .contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c=")
        })
        .collect();
    cases.push(
        case("rejected: two megabytes", Proceeding)
            .post(
                PATH,
                payloads::feedback_with_messages("closed", "success", &[&"x".repeat(2 << 20)]),
            )
            .status_in(&[400, 413, 429])
            .get("")
            .has("/_links/deploymentBase"),
    );
    cases
}

fn ownership() -> Vec<Case> {
    let end = || payloads::feedback("closed", "success");
    vec![
        case(
            "feedback for another device's update is not found",
            Proceeding,
        )
        .post("deploymentBase/{other}/feedback", end())
        .status(404),
        case("feedback for an unknown update is not found", Proceeding)
            .post("deploymentBase/2147483647/feedback", end())
            .status(404),
        case("feedback for an id that is not a number", Proceeding)
            .post("deploymentBase/abc/feedback", end())
            .status_in(&[400, 404]),
        case("feedback of an unknown device is not found", Unknown)
            .post("deploymentBase/{other}/feedback", end())
            .status(404),
        case("feedback does not register a device", Unknown)
            .post("deploymentBase/{other}/feedback", end())
            .status(404)
            .put("configData", r#"{"data": {"a": "b"}}"#)
            .status(404),
        case("an error has a code", Proceeding)
            .post(PATH, "{")
            .error(400, "rest.body.notReadable")
            .satisfies("an error is JSON", |response| {
                ensure!(
                    response
                        .header("content-type")
                        .starts_with("application/json")
                );
                Ok(())
            }),
    ]
}
