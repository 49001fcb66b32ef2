//! Config schemas that are malformed, or expensive to read or to check.

use anyhow::Result;
use serde_json::{Value, json};

use super::{HostileCase, rejected};
use crate::{build::Hooks, schemas::doubling_schema};

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    let nested = |keyword: &str, levels: usize| {
        format!(
            "{}true{}",
            format!("{{\"{keyword}\":").repeat(levels),
            "}".repeat(levels)
        )
    };
    let references: Value = (0..40)
        .map(|level| {
            let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
            (level.to_string(), json!({"anyOf": [next, next]}))
        })
        .chain([("40".to_owned(), json!(true))])
        .collect::<serde_json::Map<_, _>>()
        .into();
    let patterns: Vec<Value> = (0..129)
        .map(|number| json!({"pattern": format!("a{number}")}))
        .collect();
    let rows: [(&str, String, &str); 22] = [
        ("an empty text", String::new(), "not JSON"),
        ("no JSON", "{\"type\": ".to_owned(), "not JSON"),
        ("JSON with more behind it", "{} {}".to_owned(), "not JSON"),
        ("a number", "7".to_owned(), "not a JSON Schema"),
        ("a type that is a number", "{\"type\": 7}".to_owned(), "not a JSON Schema"),
        ("another dialect", "{\"$schema\": \"http://json-schema.org/draft-07/schema#\"}".to_owned(), "draft/2020-12"),
        ("a reference to a server", "{\"$ref\": \"http://127.0.0.1:1/schema\"}".to_owned(), "only to its own parts"),
        ("a reference to a file", "{\"$ref\": \"file:///etc/passwd\"}".to_owned(), "only to its own parts"),
        ("a reference to nothing", "{\"$ref\": \"#/$defs/none\"}".to_owned(), "has no target"),
        ("a reference to itself", "{\"items\": {\"$ref\": \"#\"}}".to_owned(), "is recursive"),
        ("references in a circle", json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}).to_string(), "is recursive"),
        ("references that double 40 times", json!({"$ref": "#/$defs/0", "$defs": references}).to_string(), "levels deep"),
        ("references that double below a property", doubling_schema("default").to_string(), "levels deep"),
        ("a dynamic reference", "{\"$dynamicRef\": \"#a\"}".to_owned(), "is not supported"),
        ("`not` within `not`, 100 times", nested("not", 100), "levels deep"),
        ("`not` within `not`, 8,000 times", nested("not", 8_000), "not JSON"),
        ("`items` within `items`, 100 times", nested("items", 100), "levels deep"),
        ("129 patterns", json!({"allOf": patterns}).to_string(), "more than 128 patterns"),
        ("a pattern that expands a million times", "{\"pattern\": \"(a{1000}){1000}\"}".to_owned(), "not a JSON Schema"),
        ("a pattern that looks back", "{\"pattern\": \"(a)\\\\1\"}".to_owned(), "not a JSON Schema"),
        ("5,000 parts", json!({"allOf": vec![json!({}); 5_000]}).to_string(), "more than 4000 parts"),
        ("64 KiB and more", json!({"description": "x".repeat(64 << 10)}).to_string(), "the maximum is 65536"),
    ];
    rows.into_iter()
        .map(|(name, schema, message)| {
            rejected(
                format!("its schema has {name}"),
                Hooks::default().schema(schema).component(),
                message,
            )
        })
        .collect()
}
