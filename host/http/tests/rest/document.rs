//! The OpenAPI document is committed and correct.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_engine::Role;

use crate::test_server::{TestServer, request};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// Operations that change nothing although they are not `GET`.
const READING: [&str; 2] = ["validate_config", "replay_decision"];

/// `GET` operations that require the role admin.
const FOR_ADMINS: [&str; 2] = ["list_keys", "get_key"];

/// Every operation: method, path with its variables filled in, and operation id.
fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let filled: String = path
            .split('/')
            .skip(1)
            .map(|segment| {
                if segment.starts_with('{') {
                    "/1".to_owned()
                } else {
                    format!("/{segment}")
                }
            })
            .collect();
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            operations.push((method.to_uppercase(), filled.clone(), id));
        }
    }
    operations
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let mut document = tidegate_http::openapi().to_pretty_json().expect("JSON");
    document.push('\n');
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(COMMITTED, &document).expect("a writable file");
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    let hint = "run `BLESS=1 cargo test -p tidegate-http --test rest` and look at what changed";
    assert!(committed == document, "openapi.json is out of date: {hint}");
}

#[test]
fn every_operation_documents_its_problem_response() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    assert_eq!(
        document["openapi"].as_str().map(|version| &version[..3]),
        Some("3.1")
    );
    let refusal = "/responses/default/content/application~1problem+json/schema/$ref";
    let mut seen = 0;
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            let schema = operation.pointer(refusal).and_then(Value::as_str);
            assert_eq!(schema, Some("#/components/schemas/Problem"), "{operation}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} operations are documented");
}

#[test]
fn every_post_takes_an_idempotency_key() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array();
            let mut names = parameters.into_iter().flatten().map(|one| &one["name"]);
            let takes_a_key = names.any(|name| name == "Idempotency-Key");
            assert_eq!(takes_a_key, method == "post", "{method} {path}");
            let responses = &operation["responses"];
            let is_told = responses["409"].is_object() && responses["422"].is_object();
            assert!(is_told || !takes_a_key, "{method} {path}");
        }
    }
}

#[test]
fn every_operation_documents_the_request_id() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let parameter = json!({"$ref": "#/components/parameters/X-Request-Id"});
    let header = json!({"$ref": "#/components/headers/X-Request-Id"});
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().expect("parameters");
            assert!(parameters.contains(&parameter), "{method} {path}");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let found = &response["headers"]["X-Request-Id"];
                assert_eq!(found, &header, "{method} {path}: {status}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} responses were found");
    for reference in [&parameter, &header] {
        let pointer = reference["$ref"].as_str().expect("a reference");
        let target = document.pointer(pointer.trim_start_matches('#'));
        let length = target.map(|target| target["schema"]["maxLength"].clone());
        assert_eq!(length, Some(json!(128)), "{pointer}");
    }
    let id = &document["components"]["schemas"]["Problem"]["properties"]["request_id"];
    assert_eq!(id["type"], "string");
}

#[test]
fn bodies_say_that_unknown_fields_are_refused() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let schemas = &document["components"]["schemas"];
    for (name, closed) in [
        ("NewCampaign", true),
        ("PluginSelection", true),
        ("FirmwareMetadata", true),
        ("Problem", false),
    ] {
        let schema = &schemas[name];
        assert!(schema.is_object(), "{name} is not there");
        let additional_properties = schema.get("additionalProperties");
        assert_eq!(
            additional_properties == Some(&Value::Bool(false)),
            closed,
            "{name}: {additional_properties:?}"
        );
    }
}

#[tokio::test]
async fn every_operation_requires_credentials() {
    let server = TestServer::new().await;
    for (method, path, id) in operations() {
        let bare = Request::builder().method(&*method).uri(&*path);
        let response = server
            .send_request(bare.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(response.status, 401, "{method} {path} ({id})");
        assert_eq!(response.expect_problem(401).0, "unauthenticated");
        assert_eq!(response.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn viewers_change_nothing() {
    let server = TestServer::new().await;
    let viewer = server.key("vera", Role::Viewer).await;
    for (method, path, id) in operations() {
        let response = server
            .send_request(
                request(&method, &path, &viewer)
                    .body(Body::empty())
                    .expect("a request"),
            )
            .await;
        let is_reading =
            (method == "GET" && !FOR_ADMINS.contains(&&*id)) || READING.contains(&&*id);
        assert_eq!(
            response.status == 403,
            !is_reading,
            "{method} {path} ({id}): {}",
            response.status
        );
    }
}

#[tokio::test]
async fn the_document_needs_no_credentials() {
    let server = TestServer::new().await;
    let bare = Request::builder()
        .uri("/api/v1/openapi.json")
        .body(Body::empty());
    let response = server
        .send_request(bare.expect("a request"))
        .await
        .expect(200);
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    assert_eq!(response, document);
}
