//! Resource 9: attributes that devices report.

use reqwest::Method;
use serde_json::json;

use crate::case::{Case, DeviceState, DeviceState::*, OperatorAction};

const PATH: &str = "configData";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("9", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [accepted(), stored(), limits(), tolerated(), rejected()].concat()
}

fn accepted() -> Vec<Case> {
    vec![
        case(
            "attributes are accepted and not requested again",
            Registered,
        )
        .put(
            PATH,
            r#"{"mode": "merge", "data": {"hw_model": "edge", "site": "dock 7"}}"#,
        )
        .status(200)
        .empty()
        .get("")
        .lacks("/_links"),
        case("unrequested attributes are accepted", Identified)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .status(200)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .status(200),
        case("attributes are accepted during an update", Proceeding)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .status(200)
            .get("")
            .has("/_links/deploymentBase"),
        case("attributes do not register a device", Unknown)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .status(404)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .status(404),
        case("GET is not allowed", Identified).get(PATH).status(405),
        case("an empty body", Identified)
            .send(Method::PUT, PATH)
            .with_header("Content-Type", "application/json")
            .status(400),
    ]
}

/// The stored attributes, as an operator sees them. An identified device has `hw_model`, `hw_revision` and
/// `sw_version`.
fn stored() -> Vec<Case> {
    const MODEL: (&str, &str) = ("hw_model", "edge");
    const REVISION: (&str, &str) = ("hw_revision", "1.0");
    const VERSION: (&str, &str) = ("sw_version", "1.0.0");
    const SITE: (&str, &str) = ("site", "dock 7");
    let stored = |name: &str, body: &str, status: u16, left: &'static [(&str, &str)]| {
        case(name, Identified)
            .put(PATH, body)
            .status(status)
            .operator(OperatorAction::ExpectAttributes(left))
    };
    vec![
        stored(
            "merge adds and overwrites",
            r#"{"mode": "merge", "data": {"site": "dock 7", "sw_version": "1.0.1"}}"#,
            200,
            &[MODEL, REVISION, SITE, ("sw_version", "1.0.1")],
        ),
        stored(
            "the default mode is merge",
            r#"{"data": {"site": "dock 7"}}"#,
            200,
            &[MODEL, REVISION, SITE, VERSION],
        ),
        stored(
            "replace removes all others",
            r#"{"mode": "replace", "data": {"hw_model": "edge", "site": "dock 7"}}"#,
            200,
            &[MODEL, SITE],
        ),
        stored(
            "remove deletes by key, whatever the values",
            r#"{"mode": "remove", "data": {"hw_revision": "9.9", "sw_version": null, "nothing": ""}}"#,
            200,
            &[MODEL],
        ),
        stored(
            "null in a merge deletes",
            r#"{"mode": "merge", "data": {"hw_revision": null, "site": "dock 7"}}"#,
            200,
            &[MODEL, SITE, VERSION],
        ),
        stored(
            "null in a replacement is not stored",
            r#"{"mode": "replace", "data": {"hw_model": "edge", "site": null}}"#,
            200,
            &[MODEL],
        ),
        stored(
            "a rejected request changes nothing",
            r#"{"mode": "replace", "data": {"hw_model": "other", "a": "\u0000"}}"#,
            400,
            &[MODEL, REVISION, VERSION],
        ),
    ]
}

/// A device may have 100 attributes. An identified device has three.
fn limits() -> Vec<Case> {
    let full = |name: &str| {
        case(name, Identified)
            .put(PATH, many("merge", 0, 97))
            .status(200)
    };
    vec![
        full("a hundred attributes are accepted, and no more")
            .put(PATH, many("merge", 1000, 1))
            .error(429, "quota.tooManyEntries"),
        full("existing attributes do not count twice")
            .put(PATH, many("merge", 0, 97))
            .status(200),
        full("replacing frees attributes")
            .put(PATH, many("replace", 1000, 100))
            .status(200)
            .put(PATH, many("merge", 0, 1))
            .status(429),
        full("removing frees as many attributes as were deleted")
            .put(PATH, many("remove", 0, 2))
            .status(200)
            .put(PATH, many("merge", 1000, 2))
            .status(200)
            .put(PATH, many("merge", 2000, 1))
            .status(429),
        full("a value of null frees an attribute")
            .put(PATH, r#"{"data": {"key-0": null}}"#)
            .status(200)
            .put(PATH, many("merge", 1000, 1))
            .status(200),
        full("removing an unknown attribute frees none")
            .put(PATH, many("remove", 500, 1))
            .status(200)
            .put(PATH, many("merge", 1000, 1))
            .status(429),
        case("a replacement with 101 attributes is rejected", Identified)
            .put(PATH, many("replace", 0, 101))
            .status(429)
            .put(PATH, many("merge", 0, 97))
            .status(200),
    ]
}

fn tolerated() -> Vec<Case> {
    let bodies = [
        ("no mode", json!({ "data": { "a": "b" } })),
        (
            "a mode of null",
            json!({ "mode": null, "data": { "a": "b" } }),
        ),
        (
            "replace",
            json!({ "mode": "replace", "data": { "hw_model": "edge" } }),
        ),
        (
            "remove",
            json!({ "mode": "remove", "data": { "hw_revision": "" } }),
        ),
        (
            "remove with null",
            json!({ "mode": "remove", "data": { "hw_revision": null } }),
        ),
        (
            "a value of null, which removes",
            json!({ "mode": "merge", "data": { "hw_revision": null } }),
        ),
        ("an empty value", json!({ "data": { "a": "" } })),
        (
            "a key and a value of 128 characters",
            json!({ "data": { "k".repeat(128): "v".repeat(128) } }),
        ),
        (
            "all allowed characters",
            json!({ "data": { "signs": r#"_-!@#$%^&*()+=[]{}|;:'",.<>/\? "# } }),
        ),
        (
            "line breaks and tabs",
            json!({ "data": { "lines": "a\r\n\tb" } }),
        ),
        (
            "an id and a time",
            json!({ "id": "", "time": "20260101T000000", "data": { "a": "b" } }),
        ),
        (
            "a status, as older clients send",
            json!({ "status": { "execution": "closed", "result": { "finished": "success" }, "details": [""] }, "data": { "a": "b" } }),
        ),
    ];
    let accepted = bodies.into_iter().map(|(what, body)| {
        case(&format!("accepted: {what}"), Identified)
            .put(PATH, body.to_string())
            .status(200)
    });
    accepted.collect()
}

fn rejected() -> Vec<Case> {
    const UNREADABLE: &str = "rest.body.notReadable";
    const ATTRIBUTES: &str = "repo.invalidTargetAttributes";

    let data = |key: &str, value: &str| json!({ "data": { key: value } }).to_string();
    let rejected =
        |what: &str, body: String| case(&format!("rejected: {what}"), Registered).put(PATH, body);
    let still_requested = |case: Case| case.get("").has("/_links/configData");
    let mut cases: Vec<Case> = [
        ("invalid JSON", "{".to_owned()),
        (
            "an unknown mode",
            r#"{"mode": "append", "data": {"a": "b"}}"#.to_owned(),
        ),
        (
            "a mode in upper case",
            r#"{"mode": "MERGE", "data": {"a": "b"}}"#.to_owned(),
        ),
        (
            "a value that is an object",
            r#"{"data": {"a": {}}}"#.to_owned(),
        ),
        ("data as a list", r#"{"data": ["a"]}"#.to_owned()),
    ]
    .into_iter()
    .map(|(what, body)| still_requested(rejected(what, body).error(400, UNREADABLE)))
    .collect();
    cases.extend(
        [
            ("no data", r#"{"mode": "merge"}"#.to_owned()),
            ("data of null", r#"{"data": null}"#.to_owned()),
            ("empty data", r#"{"data": {}}"#.to_owned()),
        ]
        .into_iter()
        .map(|(what, body)| still_requested(rejected(what, body).status(400))),
    );
    cases.extend(
        [
            ("an empty key", data("", "b")),
            ("a key of 129 characters", data(&"k".repeat(129), "v")),
            ("a value of 129 characters", data("k", &"v".repeat(129))),
            ("a zero character", data("a", "\u{0}")),
            ("an escape", data("a", "\u{1b}[2J")),
        ]
        .into_iter()
        .map(|(what, body)| still_requested(rejected(what, body).error(400, ATTRIBUTES))),
    );
    cases.extend(
        [
            ("a tilde", data("a", "~")),
            ("a backtick", data("a", "`")),
            ("a non-ASCII value", data("a", "ü")),
            ("a non-ASCII key", data("ü", "a")),
        ]
        .into_iter()
        .map(|(what, body)| {
            case(&format!("any language: {what}"), Registered)
                .put(PATH, body)
                .differs(16, |it| it.error(400, ATTRIBUTES), |it| it.status(200))
        }),
    );
    cases
}

fn many(mode: &str, first: usize, count: usize) -> String {
    let data: serde_json::Map<_, _> = (first..first + count)
        .map(|n| (format!("key-{n}"), json!("v")))
        .collect();
    json!({ "mode": mode, "data": data }).to_string()
}
