//! Compares all requests and responses of the tests with the OpenAPI document.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use http::{HeaderValue, header::CONTENT_TYPE};
use jsonschema::{Draft, Validator};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::test_server::TestResponse;

static DOCUMENT: LazyLock<Document> = LazyLock::new(Document::read);

/// Fails unless a response, and the JSON body of an accepted request, are as the document says.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, sent: Option<&Value>, response: &TestResponse) {
    let Some((name, operation)) = DOCUMENT.operation(method, path) else {
        return;
    };
    let status = response.status;
    let responses = &operation["responses"];
    let exact = &responses[status.to_string()];
    let documented = match exact {
        Value::Null if status >= 400 => &responses["default"],
        exact => exact,
    };
    assert!(documented.is_object(), "{name}: {status} is not documented");
    let kind = response.headers.get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let content = &documented["content"];
    if !response.bytes.is_empty() {
        assert!(
            content[kind].is_object(),
            "{name}: {status} is {kind}: {content}"
        );
    } else if status < 300 {
        assert!(content.is_null(), "{name}: {status} has no body");
    }
    if kind.ends_with("json") {
        let body = serde_json::from_slice(&response.bytes).expect("JSON");
        let schema = &content[kind]["schema"];
        DOCUMENT.check(&format!("{name}: {status}"), schema, &body);
    }
    for (header, described) in documented["headers"].as_object().into_iter().flatten() {
        let is_optional = described["$ref"].is_string();
        assert!(
            is_optional || response.headers.contains_key(&**header),
            "{name}: {status} has no {header}"
        );
    }
    let has_location = response.headers.contains_key("location");
    let is_documented = documented["headers"]["Location"].is_object();
    assert_eq!(has_location, is_documented, "{name}: {status}: Location");
    let body = &operation["requestBody"];
    if let (true, Some(sent)) = (status < 300, sent) {
        let schema = &body["content"]["application/json"]["schema"];
        if body.is_object() {
            DOCUMENT.check(&format!("{name}: the request"), schema, sent);
        }
    }
}

struct Document {
    paths: Map<String, Value>,
    components: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn read() -> Self {
        let mut document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
        let Value::Object(paths) = document["paths"].take() else {
            panic!("the document has no paths");
        };
        Self {
            paths,
            components: document["components"].take(),
            validators: Mutex::default(),
        }
    }

    /// The operation of a request, with its name.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let path = path.split('?').next().unwrap_or_default();
        let segments: Vec<_> = path.split('/').collect();
        let matching = self.paths.iter().filter(|(template, _)| {
            let parts: Vec<_> = template.split('/').collect();
            let mut pairs = parts.iter().zip(&segments);
            parts.len() == segments.len()
                && pairs.all(|(part, segment)| part == segment || part.starts_with('{'))
        });
        // A path without variables comes before one with them.
        let (template, item) =
            matching.min_by_key(|(template, _)| template.matches('{').count())?;
        let operation = item.get(method.to_lowercase())?;
        Some((format!("{method} {template}"), operation))
    }

    #[track_caller]
    fn check(&self, name: &str, schema: &Value, value: &Value) {
        let validator = self.validator(schema);
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {}: {value}", errors.join("; "));
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock();
        let validator = validators.entry(schema.to_string()).or_insert_with(|| {
            let mut schema = schema.clone();
            schema["components"] = self.components.clone();
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            let validator = options.should_validate_formats(true).build(&schema);
            Arc::new(validator.expect("a schema"))
        });
        Arc::clone(validator)
    }
}

#[test]
fn a_value_that_does_not_fit_is_found() {
    for (value, fits) in [
        (json!({"registration": "open"}), true),
        (json!({"registration": null}), true),
        (json!({"registration": "closed"}), false),
        (json!({"colour": "red"}), false),
    ] {
        let schema = json!({"$ref": "#/components/schemas/AccessSettings"});
        assert_eq!(
            DOCUMENT.validator(&schema).is_valid(&value),
            fits,
            "{value}"
        );
    }
}

#[test]
fn an_operation_is_found_by_its_path() {
    for (method, path, name) in [
        (
            "GET",
            "/api/v1/devices?limit=1",
            Some("GET /api/v1/devices"),
        ),
        (
            "GET",
            "/api/v1/devices/pi-0",
            Some("GET /api/v1/devices/{device_id}"),
        ),
        (
            "POST",
            "/api/v1/devices/bulk/update",
            Some("POST /api/v1/devices/bulk/update"),
        ),
        ("PUT", "/api/v1/devices/pi-0", None),
        ("GET", "/api/v2/devices", None),
    ] {
        let found = DOCUMENT.operation(method, path).map(|(name, _)| name);
        assert_eq!(found.as_deref(), name, "{method} {path}");
    }
}

/// A response of the operation that lists devices.
fn check_devices(status: u16, kind: &'static str, body: &str) {
    let response = TestResponse {
        status,
        headers: [(CONTENT_TYPE, HeaderValue::from_static(kind))]
            .into_iter()
            .collect(),
        bytes: body.into(),
    };
    check("GET", "/api/v1/devices", None, &response);
}

#[test]
#[should_panic = "\"items\" is a required property"]
fn a_response_without_a_required_field_fails() {
    check_devices(200, "application/json", "{}");
}

#[test]
#[should_panic = "207 is not documented"]
fn an_undocumented_status_fails() {
    check_devices(207, "application/json", "{}");
}

#[test]
#[should_panic = "200 is text/plain"]
fn an_undocumented_media_type_fails() {
    check_devices(200, "text/plain", "{}");
}
