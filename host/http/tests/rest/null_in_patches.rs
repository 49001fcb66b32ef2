//! Null in a `PATCH` resets a field wherever the OpenAPI document says that it may be null and the result is valid, and is
//! refused everywhere else. Every field of every `PATCH` operation is tried: a new one needs a case here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::test_server::TestServer;

/// What null does to a field.
enum Null {
    /// Resets it to what it is when it is left out. The value that it is given before, which shows.
    Resets(Value),
    /// The same, for a field that no response shows.
    ResetsUnseen(Value),
    /// Is refused in this state, with this field named: without it the object would not be valid.
    IsInvalid(&'static str),
    /// Is refused always: the document does not allow it.
    IsRefused,
}

use Null::{IsInvalid, IsRefused, Resets, ResetsUnseen};

/// What null does to a field, a JSON pointer, after another change.
struct Case {
    field: &'static str,
    before: Value,
    null: Null,
}

fn case(field: &'static str, null: Null) -> Case {
    after(json!({}), field, null)
}

fn after(before: Value, field: &'static str, null: Null) -> Case {
    Case {
        field,
        before,
        null,
    }
}

fn campaign_cases(older_strategy: &str) -> Vec<Case> {
    let window = json!({"maintenance_window": {
        "schedule": "0 2 * * *", "duration": "02:00:00", "timezone": "UTC",
    }});
    let timed = json!({"update_type": "time_forced", "forced_at": "2026-05-01T12:00:00.000Z"});
    let confirmed = json!({"requires_confirmation": true});
    vec![
        case("/name", IsRefused),
        case("/firmware_id", IsRefused),
        case("/description", Resets(json!("for spring"))),
        case("/note", Resets(json!("see the ticket"))),
        case("/allow_beta", Resets(json!(true))),
        case("/allow_incompatible", Resets(json!(true))),
        case("/auto_rollback", Resets(json!(true))),
        case("/requires_approval", Resets(json!(true))),
        case("/priority", Resets(json!("high"))),
        case("/max_concurrent_updates", Resets(json!(3))),
        case("/failure_threshold_percent", Resets(json!(50))),
        case("/policies", Resets(json!([{"plugin": "hardware"}]))),
        case("/target_devices", Resets(json!(["pi-0"]))),
        case("/target_filter", Resets(json!("hw_model==rpi4"))),
        after(
            json!({"target_devices": ["pi-0"], "target_groups": []}),
            "/target_groups",
            Resets(json!(["lab"])),
        ),
        after(
            json!({"target_feed": "stable", "target_groups": []}),
            "/target_feed",
            IsInvalid("/target_filter"),
        ),
        case("/strategy", IsInvalid("/strategy")),
        case("/strategy/plugin", IsRefused),
        case("/strategy/config", Resets(json!({"canaries": 2}))),
        case("/strategy/revision", Resets(json!(older_strategy))),
        case("/deployment_strategy", IsInvalid("/deployment_strategy")),
        case("/rollout_percentage", IsInvalid("/rollout_percentage")),
        case("/batch_size", IsInvalid("/batch_size")),
        case("/rollout_stages", IsInvalid("/rollout_stages")),
        case("/canary_percentage", IsInvalid("/canary_percentage")),
        case(
            "/canary_duration_minutes",
            IsInvalid("/canary_duration_minutes"),
        ),
        case("/blue_group", IsInvalid("/blue_group")),
        case("/green_group", IsInvalid("/green_group")),
        case("/update_type", Resets(json!("soft"))),
        after(timed, "/forced_at", IsInvalid("/forced_at")),
        case("/requires_confirmation", Resets(json!(true))),
        after(confirmed.clone(), "/on_denied", Resets(json!("reject"))),
        after(
            confirmed,
            "/confirmation_timeout_minutes",
            Resets(json!(77)),
        ),
        case("/device_refusal", Resets(json!("wait"))),
        case("/timeout_minutes", Resets(json!(45))),
        case("/download_timeout_minutes", Resets(json!(7))),
        case("/install_timeout_minutes", Resets(json!(8))),
        case("/max_retries", Resets(json!(2))),
        after(
            json!({"max_retries": 2}),
            "/retry_delay",
            Resets(json!(777)),
        ),
        case("/success_criteria", Resets(json!("attested"))),
        after(
            json!({"success_criteria": "soaked", "soak_minutes": 9}),
            "/soak_minutes",
            IsInvalid("/soak_minutes"),
        ),
        case(
            "/maintenance_window",
            Resets(window["maintenance_window"].clone()),
        ),
        after(
            window.clone(),
            "/maintenance_window/prefetch",
            Resets(json!(true)),
        ),
        after(window.clone(), "/maintenance_window/schedule", IsRefused),
        after(window.clone(), "/maintenance_window/duration", IsRefused),
        after(window, "/maintenance_window/timezone", IsRefused),
    ]
}

fn device_cases() -> Vec<Case> {
    vec![
        case("/name", Resets(json!("the one in the lab"))),
        case("/groups", Resets(json!(["lab"]))),
        case("/feed", Resets(json!("stable"))),
        case("/labels", Resets(json!({"site": "lab"}))),
        case("/mode", Resets(json!("manual"))),
        case("/pinned", Resets(json!(true))),
        case("/polling_interval", Resets(json!("00:10:00"))),
        case("/request_attributes", ResetsUnseen(json!(true))),
    ]
}

fn settings_cases() -> Vec<Case> {
    let overrides = json!([{"filter": "hw_model==rpi4", "interval": "00:01:00"}]);
    vec![
        case("/polling", Resets(json!({"interval": "00:10:00"}))),
        case("/polling/interval", Resets(json!("00:10:00"))),
        case("/polling/jitter_percent", Resets(json!(33))),
        case("/polling/overrides", Resets(overrides)),
        case("/access", Resets(json!({"registration": "allow_list"}))),
        case("/access/registration", Resets(json!("allow_list"))),
        case("/access/trust_on_first_use", Resets(json!(true))),
        case("/access/target_tokens", Resets(json!(false))),
        case("/access/gateway_tokens", Resets(json!(false))),
        case("/access/proxy_authorities", Resets(json!(["Fleet CA"]))),
        case("/ddi", Resets(json!({"links": "https"}))),
        case("/ddi/links", Resets(json!("https"))),
        case("/track_address", Resets(json!(true))),
        case("/overdue_after", Resets(json!("01:00:00"))),
        case("/versions", Resets(json!("loose"))),
        case("/requires_approval", Resets(json!(true))),
    ]
}

/// A patch with one field.
fn patch_of(field: &str, value: Value) -> Value {
    let names = field.split('/').skip(1).collect::<Vec<_>>();
    let names = names.into_iter().rev();
    names.fold(value, |value, name| json!({ name: value }))
}

impl Case {
    /// Tries null on the object of this path.
    async fn check(&self, server: &TestServer, path: &str, is_nullable: bool) {
        let field = self.field;
        let change = async |body: &Value| server.send("PATCH", path, &server.admin, body).await;
        let shown = async || {
            let mut shown = server.get(path).await.expect(200);
            if let Some(shown) = shown.as_object_mut() {
                shown.remove("edited_by");
            }
            shown
        };
        change(&self.before).await.expect(200);
        let before = shown().await;
        let null = patch_of(field, Value::Null);
        match &self.null {
            Resets(value) | ResetsUnseen(value) => {
                assert!(is_nullable, "{field}: the document says that it is not");
                change(&patch_of(field, value.clone())).await.expect(200);
                let is_shown = matches!(self.null, Resets(_));
                assert_eq!(shown().await != before, is_shown, "{field}: {value}");
                change(&null).await.expect(200);
                assert_eq!(shown().await, before, "{field}");
            }
            IsInvalid(named) => {
                assert!(is_nullable, "{field}: the document says that it is not");
                let (_, fields) = change(&null).await.expect_problem(422);
                assert_eq!(fields, [*named], "{field}");
                assert_eq!(shown().await, before, "{field}");
            }
            IsRefused => {
                assert!(!is_nullable, "{field}: the document says that it is");
                let (_, fields) = change(&null).await.expect_problem(422);
                assert_eq!(fields, [field]);
                assert_eq!(shown().await, before, "{field}");
            }
        }
    }
}

/// The fields of a body, as JSON pointers, each with whether it may be null. Those of objects in it are fields too.
fn fields(document: &Value, schema: &Value, place: &str, found: &mut BTreeMap<String, bool>) {
    let schema = resolve(document, schema);
    let properties = schema["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let place = format!("{place}/{name}");
        let one_of = property["oneOf"].as_array().into_iter().flatten();
        let kinds = property["type"].as_array().into_iter().flatten();
        // A schema without a type allows all values.
        let is_any = property["type"].is_null() && property["oneOf"].is_null();
        let is_any = is_any && property["$ref"].is_null();
        let is_nullable = is_any
            || one_of.clone().any(|part| part["type"] == "null")
            || kinds.clone().any(|kind| kind == "null");
        for part in one_of.chain([property]) {
            fields(document, part, &place, found);
        }
        found.insert(place, is_nullable);
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str();
    reference.map_or(schema, |reference| {
        document.pointer(&reference[1..]).expect("a schema")
    })
}

async fn check_all(server: &TestServer) {
    server.fleet(1).await;
    let older = server.get("/api/v1/plugins/acme/canary").await.expect(200);
    let older = older["revisions"][0]["revision"].clone();
    server.clock.advance_seconds(1);
    server.plugin(b"plugin acme/canary strategy 1.1.0").await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let body = &item["patch"]["requestBody"];
        if item["patch"].is_null() {
            continue;
        }
        let cases = match path.as_str() {
            "/api/v1/campaigns/{campaign_id}" => {
                campaign_cases(older.as_str().expect("a revision"))
            }
            "/api/v1/devices/{device_id}" => device_cases(),
            "/api/v1/settings" => settings_cases(),
            other => panic!("PATCH {other} needs cases"),
        };
        let mut documented = BTreeMap::new();
        let schema = &body["content"]["application/json"]["schema"];
        fields(&document, schema, "", &mut documented);
        let mut tried: Vec<_> = cases.iter().map(|case| case.field.to_owned()).collect();
        tried.sort_unstable();
        let all: Vec<_> = documented.keys().cloned().collect();
        assert_eq!(tried, all, "{path}: these fields are tried");
        for (number, case) in cases.iter().enumerate() {
            let object = match path.as_str() {
                "/api/v1/settings" => path.clone(),
                "/api/v1/devices/{device_id}" => {
                    let id = format!("null-{number}");
                    let device = json!({"device_id": id});
                    server.post("/api/v1/devices", &device).await.expect(201);
                    format!("/api/v1/devices/{id}")
                }
                _ => {
                    server
                        .campaign_of(firmware, Value::Object(Map::new()))
                        .await
                }
            };
            case.check(server, &object, documented[case.field]).await;
        }
    }
}

#[tokio::test]
async fn null_resets_a_field_where_it_may_be_absent_and_is_refused_elsewhere() {
    check_all(&TestServer::new().await).await;
    if let Some(server) = TestServer::on_postgres().await {
        check_all(&server).await;
    }
}
