//! Invalid devices and device queries.

use serde_json::{Value, json};

use super::BadRequest;

const INVALID: &str = "invalid_device";

pub(super) fn cases() -> Vec<BadRequest> {
    let attributes: serde_json::Map<_, _> =
        (0..101).map(|n| (format!("k{n}"), json!("v"))).collect();
    let table: Vec<(&str, Value, u16, &'static str, &str)> = vec![
        (
            "empty id",
            json!({ "device_id": "" }),
            422,
            INVALID,
            "/device_id",
        ),
        (
            "id of 257 characters",
            json!({ "device_id": "x".repeat(257) }),
            422,
            INVALID,
            "/device_id",
        ),
        (
            "white space in an id",
            json!({ "device_id": "a b" }),
            422,
            INVALID,
            "/device_id",
        ),
        (
            "control character in an id",
            json!({ "device_id": "a\u{7}" }),
            422,
            INVALID,
            "/device_id",
        ),
        (
            "name of 201 characters",
            json!({ "device_id": "a", "name": "x".repeat(201) }),
            422,
            INVALID,
            "/name",
        ),
        (
            "too many groups",
            json!({ "device_id": "a", "groups": vec!["g"; 51] }),
            422,
            INVALID,
            "/groups",
        ),
        (
            "group without a name",
            json!({ "device_id": "a", "groups": [""] }),
            422,
            INVALID,
            "/groups",
        ),
        (
            "too many attributes",
            json!({ "device_id": "a", "attributes": attributes }),
            422,
            INVALID,
            "/attributes",
        ),
        (
            "too long attribute",
            json!({ "device_id": "a", "attributes": { "k": "v".repeat(129) } }),
            422,
            INVALID,
            "/attributes",
        ),
        (
            "attribute that is not a string",
            json!({ "device_id": "a", "attributes": { "k": 1 } }),
            422,
            "wrong_type",
            "/attributes/k",
        ),
        (
            "polling interval of 0",
            json!({ "device_id": "a", "polling_interval": "00:00:00" }),
            422,
            INVALID,
            "/polling_interval",
        ),
        (
            "unknown field",
            json!({ "device_id": "a", "secret": "mine" }),
            422,
            "unknown_field",
            "/secret",
        ),
        (
            "short token",
            json!({ "device_id": "a", "token": "mine" }),
            422,
            INVALID,
            "/token",
        ),
        (
            "id that is not a string",
            json!({ "device_id": 7 }),
            422,
            "wrong_type",
            "/device_id",
        ),
    ];
    let mut cases: Vec<BadRequest> = table
        .into_iter()
        .map(|(name, body, status, code, field)| {
            BadRequest::post(name, "devices", status, code)
                .json(body)
                .field(field)
        })
        .collect();
    cases.extend([
        BadRequest::post("existing device", "devices", 409, "device_exists")
            .json(json!({ "device_id": "edge-0" })),
        BadRequest::get(
            "invalid selector",
            "devices?q=hw_model",
            422,
            "invalid_selector",
        )
        .field("q"),
        BadRequest::get(
            "selector with an unknown field",
            "devices?q=secret==x",
            422,
            "invalid_selector",
        )
        .field("q"),
        BadRequest::get(
            "unknown sort field",
            "devices?sort=secret",
            422,
            "invalid_sort",
        )
        .field("sort"),
        BadRequest::get(
            "unknown sort direction",
            "devices?sort=name:up",
            422,
            "invalid_sort",
        )
        .field("sort"),
        BadRequest::get(
            "log of another device's update",
            "devices/edge-0/log?update_id=987654",
            404,
            "not_found",
        ),
        BadRequest::get(
            "log of an invalid update id",
            "devices/edge-0/log?update_id=x",
            422,
            "wrong_type",
        )
        .field("update_id"),
    ]);
    cases
}
