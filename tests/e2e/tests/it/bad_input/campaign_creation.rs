//! Campaigns that cannot be made.

use serde_json::{Value, json};
use tidegate_e2e::TestTenant;

use super::{BadInputFixture, BadRequest, unknown_digest};

const INVALID: &str = "invalid_campaign";

pub(super) fn cases(fixture: &BadInputFixture) -> Vec<BadRequest> {
    let firmware = fixture.id("{firmware}");
    let changed = |(name, changes, status, code, field): Field| {
        let mut body = TestTenant::campaign_body(firmware);
        for (name, value) in changes.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        BadRequest::post(name, "campaigns", status, code)
            .json(body)
            .field(field)
    };
    let wholes = [
        BadRequest::post("nothing of it", "campaigns", 422, "wrong_type").json(json!({})),
        BadRequest::post("a list", "campaigns", 422, "wrong_type").json(json!([])),
        BadRequest::post("null", "campaigns", 422, "wrong_type").json(Value::Null),
        BadRequest::post("nobody", "campaigns", 422, INVALID).json(
            json!({ "name": "x", "firmware_id": firmware, "strategy": { "plugin": "immediate" } }),
        ),
        BadRequest::post("no strategy", "campaigns", 422, INVALID).json(
            json!({ "name": "x", "firmware_id": firmware, "target_filter": "hw_model==edge" }),
        ),
    ];
    fields(fixture)
        .into_iter()
        .map(changed)
        .chain(wholes)
        .collect()
}

type Field = (&'static str, Value, u16, &'static str, &'static str);

/// What is changed in a good body, and what is said of it.
fn fields(fixture: &BadInputFixture) -> Vec<Field> {
    let config =
        |plugin: &str, config: Value| json!({ "strategy": { "plugin": plugin, "config": config } });
    let policies = |policies: Value| json!({ "policies": policies });
    vec![
        (
            "an empty name",
            json!({ "name": "" }),
            422,
            INVALID,
            "/name",
        ),
        (
            "a name of 201 characters",
            json!({ "name": "ü".repeat(201) }),
            422,
            INVALID,
            "/name",
        ),
        (
            "a name that is no text",
            json!({ "name": 7 }),
            422,
            "wrong_type",
            "/name",
        ),
        (
            "a description without end",
            json!({ "description": "x".repeat(10_001) }),
            422,
            INVALID,
            "/description",
        ),
        (
            "firmware that is not there",
            json!({ "firmware_id": 987_654 }),
            422,
            INVALID,
            "/firmware_id",
        ),
        (
            "firmware by name",
            json!({ "firmware_id": "edge" }),
            422,
            "wrong_type",
            "/firmware_id",
        ),
        (
            "beta firmware that nobody allowed",
            json!({ "firmware_id": fixture.id("{beta}") }),
            422,
            INVALID,
            "/firmware_id",
        ),
        (
            "an unknown field",
            json!({ "colour": "red" }),
            422,
            "unknown_field",
            "/colour",
        ),
        (
            "an unknown field, deep",
            json!({ "strategy": { "plugin": "immediate", "speed": 9 } }),
            422,
            "unknown_field",
            "/strategy/speed",
        ),
        (
            "a selector that is none",
            json!({ "target_filter": "hw_model==" }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "a selector of an unknown field",
            json!({ "target_filter": "password==x" }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "a selector that nests without end",
            json!({ "target_filter": "(".repeat(5000) }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "a selector that tries SQL",
            json!({ "target_filter": "name=='x' OR 1=1 --" }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "targets that are no list",
            json!({ "target_devices": "edge-0" }),
            422,
            "wrong_type",
            "/target_devices",
        ),
        (
            "too many groups",
            json!({ "target_groups": vec!["g"; 1001] }),
            422,
            INVALID,
            "/target_groups",
        ),
        (
            "too many devices",
            json!({ "target_devices": vec!["d"; 100_001] }),
            422,
            INVALID,
            "/target_devices",
        ),
        (
            "a strategy that is not there",
            config("teleport", json!({})),
            422,
            INVALID,
            "/strategy/plugin",
        ),
        (
            "a policy as strategy",
            config("hardware", json!({})),
            422,
            INVALID,
            "/strategy/plugin",
        ),
        (
            "a config with an unknown field",
            config("canary", json!({ "speed": 9 })),
            422,
            INVALID,
            "/strategy/config/speed",
        ),
        (
            "a config beyond its limits",
            config("canary", json!({ "canary_percentage": 101 })),
            422,
            INVALID,
            "/strategy/config/canary_percentage",
        ),
        (
            "a config of the wrong type",
            config("canary", json!({ "steps": 5 })),
            422,
            INVALID,
            "/strategy/config/steps",
        ),
        (
            "a config that only the plugin can judge",
            config("canary", json!({ "steps": [50, 20] })),
            422,
            INVALID,
            "/strategy/config/steps/1",
        ),
        (
            "a config that is no object",
            config("canary", json!([])),
            422,
            INVALID,
            "/strategy/config",
        ),
        (
            "a revision that is no digest",
            json!({ "strategy": { "plugin": "canary", "revision": "newest" } }),
            422,
            INVALID,
            "/strategy/revision",
        ),
        (
            "a revision that is not there",
            json!({ "strategy": { "plugin": "canary", "revision": unknown_digest().to_string() } }),
            422,
            INVALID,
            "/strategy/plugin",
        ),
        (
            "a policy that is not there",
            policies(json!([{ "plugin": "luck" }])),
            422,
            INVALID,
            "/policies/0/plugin",
        ),
        (
            "a strategy as policy",
            policies(json!([{ "plugin": "hardware" }, { "plugin": "immediate" }])),
            422,
            INVALID,
            "/policies/1/plugin",
        ),
        (
            "a policy's config",
            policies(json!([{ "plugin": "failure-rate", "config": { "threshold_percent": 0 } }])),
            422,
            INVALID,
            "/policies/0/config/threshold_percent",
        ),
        (
            "too many policies",
            policies(vec![json!({ "plugin": "hardware" }); 17].into()),
            422,
            INVALID,
            "/policies",
        ),
        (
            "an unknown priority",
            json!({ "priority": "urgent" }),
            422,
            "wrong_type",
            "/priority",
        ),
        (
            "nobody at once",
            json!({ "max_concurrent_updates": 0 }),
            422,
            INVALID,
            "/max_concurrent_updates",
        ),
        (
            "less than nobody at once",
            json!({ "max_concurrent_updates": -1 }),
            422,
            "wrong_type",
            "/max_concurrent_updates",
        ),
        (
            "four minutes",
            json!({ "timeout_minutes": 4 }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "more than a day",
            json!({ "timeout_minutes": 1441 }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "no end of minutes",
            json!({ "timeout_minutes": u64::MAX }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "no failures at all",
            json!({ "failure_threshold_percent": 0 }),
            422,
            INVALID,
            "/failure_threshold_percent",
        ),
        (
            "more than all fail",
            json!({ "failure_threshold_percent": 101 }),
            422,
            INVALID,
            "/failure_threshold_percent",
        ),
        (
            "more than a byte fail",
            json!({ "failure_threshold_percent": 300 }),
            422,
            "wrong_type",
            "/failure_threshold_percent",
        ),
        (
            "another success",
            json!({ "success_criteria": "luck" }),
            422,
            "wrong_type",
            "/success_criteria",
        ),
        (
            "a soak of no length",
            json!({ "success_criteria": "soaked" }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "a soak that nobody asked for",
            json!({ "success_criteria": "attested", "soak_minutes": 5 }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "a soak of months",
            json!({ "success_criteria": "soaked", "soak_minutes": 43_201 }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "both forms",
            json!({ "deployment_strategy": "canary" }),
            422,
            INVALID,
            "/deployment_strategy",
        ),
        (
            "a short form beside a strategy",
            json!({ "batch_size": 5 }),
            422,
            INVALID,
            "/batch_size",
        ),
        (
            "a short form that nobody knows",
            json!({ "strategy": null, "deployment_strategy": "yolo" }),
            422,
            "wrong_type",
            "/deployment_strategy",
        ),
        (
            "a short form with another's field",
            json!({ "strategy": null, "deployment_strategy": "canary", "batch_size": 5 }),
            422,
            INVALID,
            "/batch_size",
        ),
        (
            "a short form beyond its limits",
            json!({ "strategy": null, "deployment_strategy": "immediate", "batch_size": 501 }),
            422,
            INVALID,
            "/batch_size",
        ),
    ]
}
