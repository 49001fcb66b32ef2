//! The OpenAPI document is committed and correct.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_engine::Role;

use crate::test_server::{TestServer, request};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// Operations that change nothing although they are not `GET`.
const READING: [&str; 3] = ["validate_config", "replay_decision", "replay_journal"];

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
    let hint = "run `BLESS=1 cargo test -p tidegate-http --test rest` and review the difference";
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
        ("NewFirmware", true),
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
async fn every_operation_refuses_and_names_an_unknown_query_parameter() {
    let server = TestServer::with(|settings| settings.dev = true).await;
    let others = [
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/auth/dev-token"),
    ];
    let others = others.map(|(method, path)| (method.to_owned(), path.to_owned(), String::new()));
    let mut seen = 0;
    for (method, path, id) in operations().into_iter().chain(others) {
        for query in ["nosuch=1", "nosuch", "nosuch=1&limit=x"] {
            let path = format!("{path}?{query}");
            let sent = request(&method, &path, &server.admin).body(Body::empty());
            let response = server.send_request(sent.expect("a request")).await;
            let (_, fields) = response.expect_problem(422);
            let is_named = fields.iter().any(|field| field == "nosuch");
            assert!(is_named, "{method} {path} ({id}): {fields:?}");
        }
        seen += 1;
    }
    assert!(seen > 60, "{seen} operations were tried");
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

/// A value of the document with its place.
fn each_value(place: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(place, value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                each_value(&format!("{place}/{name}"), member, visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_value(&format!("{place}/{index}"), item, visit);
            }
        }
        _ => {}
    }
}

#[test]
fn every_response_is_described_and_says_what_it_contains() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{place} has no summary");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(description.ends_with('.'), "{place}: {status}: {response}");
                let has_body = !["204", "304"].contains(&&**status);
                let contents = response["content"].as_object();
                assert_eq!(contents.is_some(), has_body, "{place}: {status}");
                for (kind, content) in contents.into_iter().flatten() {
                    assert!(content["schema"].is_object(), "{place}: {status}: {kind}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "{seen} responses were found");
}

#[test]
fn every_parameter_has_bounds_and_is_never_null() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut limits = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let mut in_path = Vec::new();
            for parameter in operation["parameters"].as_array().expect("parameters") {
                let parameter = match parameter["$ref"].as_str() {
                    Some(reference) => document.pointer(&reference[1..]).expect("a parameter"),
                    None => parameter,
                };
                let (name, schema) = (&parameter["name"], &parameter["schema"]);
                let place = format!("{method} {path}: {name}: {schema}");
                let is_bounded = match schema["type"].as_str() {
                    Some("integer") => {
                        let has_maximum =
                            schema["maximum"].is_u64() || schema["format"].is_string();
                        schema["minimum"].is_u64() && has_maximum
                    }
                    Some("string") => {
                        let has = |word: &str| !schema[word].is_null();
                        // The other texts of queries are compared with what is stored.
                        let is_filter = parameter["in"] == "query" && name != "sort" && name != "q";
                        has("pattern") || has("enum") || has("maxLength") || is_filter
                    }
                    Some("boolean") => true,
                    _ => false,
                };
                assert!(is_bounded, "{place}");
                if name == "limit" {
                    let bounds = [&schema["minimum"], &schema["maximum"], &schema["default"]];
                    assert_eq!(bounds, [1, 500, 50], "{place}");
                    limits += 1;
                }
                if parameter["in"] == "path" {
                    assert_eq!(parameter["required"], true, "{place}");
                    in_path.push(format!("{{{}}}", name.as_str().expect("a name")));
                }
            }
            let variables = path.split('/').filter(|segment| segment.starts_with('{'));
            assert!(variables.eq(in_path.iter()), "{method} {path}: {in_path:?}");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let is_reference = schema.is_null() || schema["$ref"].is_string();
            assert!(is_reference, "{method} {path}: {schema}");
        }
    }
    assert!(limits > 10, "{limits} limits were found");
}

/// The server refuses and accepts what the document says.
#[tokio::test]
async fn the_bounds_of_a_page_are_those_of_the_server() {
    let server = TestServer::new().await;
    for (query, status) in [
        ("limit=0", 422),
        ("limit=1", 200),
        ("limit=500", 200),
        ("limit=501", 422),
        ("offset=9223372036854775807", 200),
        ("offset=9223372036854775808", 422),
        ("sort=hw_model:desc", 200),
        ("sort=colour", 422),
    ] {
        let response = server.get(&format!("/api/v1/devices?{query}")).await;
        assert_eq!(response.status, status, "{query}");
    }
}

#[test]
fn ids_have_the_same_shape_everywhere() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut shapes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let ids = [
        "campaign_id",
        "device_id",
        "firmware_id",
        "update_id",
        "revision",
    ];
    let mut note = |name: &str, schema: &Value| {
        let known = ids.iter().find(|id| **id == name);
        if let (Some(id), false) = (known, schema.is_null()) {
            let mut shape = schema.clone();
            let shape = shape.as_object_mut().expect("a schema");
            shape.remove("description");
            if let Some(Value::Array(kinds)) = shape.get("type") {
                let kind = kinds.iter().find(|kind| *kind != "null").cloned();
                shape.insert("type".to_owned(), kind.expect("a type"));
            }
            let shapes = shapes.entry(id).or_default();
            shapes.insert(Value::Object(shape.clone()).to_string());
        }
    };
    each_value("", &document, &mut |_, value| {
        for (name, schema) in value["properties"].as_object().into_iter().flatten() {
            note(name, schema);
        }
        if let Some(name) = value["name"].as_str() {
            note(name, &value["schema"]);
        }
    });
    assert_eq!(shapes.len(), ids.len());
    for (id, shapes) in shapes {
        assert_eq!(shapes.len(), 1, "{id}: {shapes:?}");
    }
}

/// Generators make a type for each schema, named without separators, and one for each object or enum within a schema,
/// named by the schema and the property.
#[test]
fn no_names_of_schemas_and_operations_clash() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let mut names = BTreeMap::new();
    let mut clashes = Vec::new();
    for name in schemas.keys() {
        clashes.extend(names.insert(plain(name), name.clone()));
    }
    for (name, schema) in schemas {
        each_value(name, schema, &mut |place, value| {
            let is_type = value["enum"].is_array()
                || value["properties"].is_object()
                || value["additionalProperties"].is_object();
            if let (true, Some((_, property))) = (is_type, place.rsplit_once("/properties/")) {
                let property = property.split('/').next().unwrap_or_default();
                let inner = plain(&format!("{name}{property}"));
                if let Some(known) = names.get(&inner) {
                    clashes.push(format!("{known} and {place}"));
                }
            }
        });
    }
    assert!(clashes.is_empty(), "{clashes:?}");
    let mut ids = BTreeSet::new();
    for (_, _, id) in operations() {
        assert!(ids.insert(plain(&id)), "{id} is there twice");
    }
}

/// Two types of one name would silently replace one another in the document.
#[test]
fn no_two_types_have_the_same_name_in_the_document() {
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                for name in schema_names(&text) {
                    let other = names.insert(name.clone(), path.clone());
                    assert_eq!(other, None, "{name} is in {} too", path.display());
                }
            }
        }
    }
    assert!(names.len() > 90, "{} types were found", names.len());
}

/// The names of the types of a source that derive a schema, without those of its tests.
fn schema_names(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let derived = source.split("#[derive(").skip(1);
    derived
        .filter_map(|part| {
            let (traits, rest) = part.split_once(")]")?;
            if !traits.contains("ToSchema") {
                return None;
            }
            let words = |text: &str| {
                let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
                text[..end.unwrap_or(text.len())].to_owned()
            };
            let declared = rest.find("struct ").or_else(|| rest.find("enum "))?;
            let (attributes, declaration) = rest.split_at(declared);
            let name = match attributes.split_once("#[schema(as = ") {
                Some((_, name)) => words(name),
                None => words(declaration.split_once(' ')?.1),
            };
            Some(name)
        })
        .collect()
}

#[test]
fn no_schema_extends_one_without_further_properties() {
    let document = serde_json::to_value(tidegate_http::openapi()).expect("JSON");
    let mut seen = 0;
    each_value("", &document, &mut |place, value| {
        for part in value["allOf"].as_array().into_iter().flatten() {
            let reference = part["$ref"].as_str().map(|reference| &reference[1..]);
            let target = reference.map_or(Some(part), |place| document.pointer(place));
            let target = target.expect("a schema");
            assert_ne!(target["additionalProperties"], false, "{place}: {part}");
            seen += 1;
        }
    });
    assert!(seen > 5, "{seen} parts were found");
}
