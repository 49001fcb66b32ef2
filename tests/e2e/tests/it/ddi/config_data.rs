//! Resource 9: what devices say of themselves.

use reqwest::Method;
use serde_json::json;

use super::case::{Case, Standing::*, case};

const PATH: &str = "configData";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("attributes are taken, and not asked for again", Known)
            .put(
                PATH,
                r#"{"mode": "merge", "data": {"hw_model": "edge", "site": "dock 7"}}"#,
            )
            .is(200)
            .empty()
            .get("")
            .lacks("/_links"),
        case("they may come unasked", Introduced)
            .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
            .is(200),
        case(
            "a device that nobody knows is not registered by them",
            Unknown,
        )
        .put(PATH, r#"{"data": {"site": "dock 7"}}"#)
        .is(404),
        case("they are put, not posted", Introduced)
            .post(PATH, r#"{"data": {"a": "b"}}"#)
            .is(405),
        case("they are not read", Introduced).get(PATH).is(405),
        case("HAL is no format for them", Introduced)
            .put(PATH, r#"{"data": {"a": "b"}}"#)
            .with("Content-Type", "application/hal+json")
            .is(415),
        case("a hundred are taken, and no more", Introduced)
            .put(PATH, many(0, 97))
            .is(200)
            .put(PATH, many(1000, 1))
            .is(429)
            .put(PATH, many(0, 97))
            .is(200),
        case("replacing makes room", Introduced)
            .put(PATH, many(0, 97))
            .is(200)
            .put(PATH, many(1000, 100).replace("merge", "replace"))
            .is(200),
        case("a hundred and one at once are too many", Introduced)
            .put(PATH, many(0, 101))
            .is(429),
        case("a body of none", Introduced)
            .send(Method::PUT, PATH)
            .with("Content-Type", "application/json")
            .is(400),
    ];
    let tolerated = [
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
            "a value of null, which removes",
            json!({ "mode": "merge", "data": { "hw_revision": null } }),
        ),
        ("an empty value", json!({ "data": { "a": "" } })),
        (
            "a key and a value of 128 characters",
            json!({ "data": { "k".repeat(128): "v".repeat(128) } }),
        ),
        (
            "every sign that is allowed",
            json!({ "data": { "signs": r#"_-!@#$%^&*()+=[]{}|;:'",.<>/\? "# } }),
        ),
    ];
    cases.extend(tolerated.into_iter().map(|(what, body)| {
        case(&format!("taken: {what}"), Introduced)
            .put(PATH, body.to_string())
            .is(200)
    }));
    let refused = [
        ("no JSON", "{".to_owned()),
        ("no data", r#"{"mode": "merge"}"#.to_owned()),
        ("data of null", r#"{"data": null}"#.to_owned()),
        ("empty data", r#"{"data": {}}"#.to_owned()),
        (
            "an unknown mode",
            r#"{"mode": "append", "data": {"a": "b"}}"#.to_owned(),
        ),
        (
            "a value that is an object",
            r#"{"data": {"a": {}}}"#.to_owned(),
        ),
        ("an empty key", r#"{"data": {"": "b"}}"#.to_owned()),
        (
            "a key of 129 characters",
            json!({ "data": { "k".repeat(129): "v" } }).to_string(),
        ),
        (
            "a value of 129 characters",
            json!({ "data": { "k": "v".repeat(129) } }).to_string(),
        ),
        ("a tilde", r#"{"data": {"a": "~"}}"#.to_owned()),
        ("another alphabet", r#"{"data": {"a": "ü"}}"#.to_owned()),
        ("a zero byte", r#"{"data": {"a": "\u0000"}}"#.to_owned()),
    ];
    cases.extend(refused.into_iter().map(|(what, body)| {
        case(&format!("refused: {what}"), Known)
            .put(PATH, body)
            .is(400)
            .get("")
            .has("/_links/configData")
    }));
    cases
}

fn many(first: usize, count: usize) -> String {
    let data: serde_json::Map<_, _> = (first..first + count)
        .map(|n| (format!("key-{n}"), json!("v")))
        .collect();
    json!({ "mode": "merge", "data": data }).to_string()
}
