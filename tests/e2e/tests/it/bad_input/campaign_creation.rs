//! Invalid campaigns, and invalid changes of campaigns that have not started.

use reqwest::Method;
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
        BadRequest::post("an empty object", "campaigns", 422, "wrong_type").json(json!({})),
        BadRequest::post("a list", "campaigns", 422, "wrong_type").json(json!([])),
        BadRequest::post("null", "campaigns", 422, "wrong_type").json(Value::Null),
        BadRequest::post("no targets", "campaigns", 422, INVALID).json(
            json!({ "name": "x", "firmware_id": firmware, "strategy": { "plugin": "immediate" } }),
        ),
        BadRequest::post("no strategy", "campaigns", 422, INVALID).json(
            json!({ "name": "x", "firmware_id": firmware, "target_filter": "hw_model==edge" }),
        ),
    ];
    // A campaign that has not started is changed by the same rules.
    let edits = fields(fixture)
        .into_iter()
        .filter(|(name, ..)| !ONLY_AT_CREATION.contains(name))
        .map(|(name, changes, status, code, field)| {
            let name = format!("{name}, as a change");
            BadRequest::new(&name, Method::PATCH, "campaigns/{waiting}", status, code)
                .json(changes)
                .field(field)
        });
    fields(fixture)
        .into_iter()
        .map(changed)
        .chain(wholes)
        .chain(edits)
        .collect()
}

/// Cases that are valid changes: the short form replaces the strategy.
const ONLY_AT_CREATION: [&str; 2] = [
    "a short form and a strategy",
    "a field of a short form and a strategy",
];

type Field = (&'static str, Value, u16, &'static str, &'static str);

/// Changes to a valid body, with status, code and field of the problem.
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
            "a name that is not a string",
            json!({ "name": 7 }),
            422,
            "wrong_type",
            "/name",
        ),
        (
            "a too long description",
            json!({ "description": "x".repeat(10_001) }),
            422,
            INVALID,
            "/description",
        ),
        (
            "unknown firmware",
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
            "beta firmware without allow_beta",
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
            "an unknown nested field",
            json!({ "strategy": { "plugin": "immediate", "speed": 9 } }),
            422,
            "unknown_field",
            "/strategy/speed",
        ),
        (
            "an invalid selector",
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
            "a selector with a misspelt state",
            json!({ "target_filter": "state!=in-sync" }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "a selector with a misspelt version",
            json!({ "target_filter": "sw_version=lt=2.O.0" }),
            422,
            INVALID,
            "/target_filter",
        ),
        (
            "a deeply nested selector",
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
            "targets that are not a list",
            json!({ "target_devices": "edge-0" }),
            422,
            "wrong_type",
            "/target_devices",
        ),
        (
            "a device id that acts on a terminal",
            json!({ "target_devices": ["edge-0", "a\u{9b}31m"] }),
            422,
            INVALID,
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
            "an unknown strategy",
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
            "a config value out of range",
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
            "a config that only the plugin rejects",
            config("canary", json!({ "steps": [50, 20] })),
            422,
            INVALID,
            "/strategy/config/steps/1",
        ),
        (
            "a config that is not an object",
            config("canary", json!([])),
            422,
            INVALID,
            "/strategy/config",
        ),
        (
            "a revision that is not a digest",
            json!({ "strategy": { "plugin": "canary", "revision": "newest" } }),
            422,
            INVALID,
            "/strategy/revision",
        ),
        (
            "an unknown revision",
            json!({ "strategy": { "plugin": "canary", "revision": unknown_digest().to_string() } }),
            422,
            INVALID,
            "/strategy/plugin",
        ),
        (
            "an unknown policy",
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
            "an invalid config of a policy",
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
            "a limit of 0 concurrent updates",
            json!({ "max_concurrent_updates": 0 }),
            422,
            INVALID,
            "/max_concurrent_updates",
        ),
        (
            "a limit of concurrent updates that cannot be stored",
            json!({ "max_concurrent_updates": 1_u64 << 63 }),
            422,
            INVALID,
            "/max_concurrent_updates",
        ),
        (
            "a negative limit of concurrent updates",
            json!({ "max_concurrent_updates": -1 }),
            422,
            "wrong_type",
            "/max_concurrent_updates",
        ),
        (
            "a timeout of four minutes",
            json!({ "timeout_minutes": 4 }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "a timeout of more than a day",
            json!({ "timeout_minutes": 1441 }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "a timeout of 2^64-1 minutes",
            json!({ "timeout_minutes": u64::MAX }),
            422,
            INVALID,
            "/timeout_minutes",
        ),
        (
            "a failure threshold of 0",
            json!({ "failure_threshold_percent": 0 }),
            422,
            INVALID,
            "/failure_threshold_percent",
        ),
        (
            "a failure threshold above 100 %",
            json!({ "failure_threshold_percent": 101 }),
            422,
            INVALID,
            "/failure_threshold_percent",
        ),
        (
            "a failure threshold above 255",
            json!({ "failure_threshold_percent": 300 }),
            422,
            "wrong_type",
            "/failure_threshold_percent",
        ),
        (
            "unknown success criteria",
            json!({ "success_criteria": "luck" }),
            422,
            "wrong_type",
            "/success_criteria",
        ),
        (
            "soaked without soak_minutes",
            json!({ "success_criteria": "soaked" }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "soak_minutes without soaked",
            json!({ "success_criteria": "attested", "soak_minutes": 5 }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "a too long soak",
            json!({ "success_criteria": "soaked", "soak_minutes": 43_201 }),
            422,
            INVALID,
            "/soak_minutes",
        ),
        (
            "a short form and a strategy",
            json!({ "deployment_strategy": "canary" }),
            422,
            INVALID,
            "/deployment_strategy",
        ),
        (
            "a field of a short form and a strategy",
            json!({ "batch_size": 5 }),
            422,
            INVALID,
            "/batch_size",
        ),
        (
            "an unknown short form",
            json!({ "strategy": null, "deployment_strategy": "yolo" }),
            422,
            "wrong_type",
            "/deployment_strategy",
        ),
        (
            "a short form with a field of another",
            json!({ "strategy": null, "deployment_strategy": "canary", "batch_size": 5 }),
            422,
            INVALID,
            "/batch_size",
        ),
        (
            "a short form with a value out of range",
            json!({ "strategy": null, "deployment_strategy": "immediate", "batch_size": 501 }),
            422,
            INVALID,
            "/batch_size",
        ),
    ]
}
