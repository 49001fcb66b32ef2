//! Checks a plugin's schema against its config type.

use serde_json::{Map, Value};

use crate::{Plugin, plugin};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Checks the self-description of a plugin: a valid name, a schema that forms can be generated from, valid examples,
/// and defaults that match the config type. Panics with the problem.
pub fn check_schema<P: Plugin>()
where
    P::Config: PartialEq,
{
    let name = P::NAME;
    let in_alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_part = |part: &str| (1..=64).contains(&part.len()) && part.chars().all(in_alphabet);
    let (vendor, own) = name.split_once('/').unwrap_or(("tidegate", name));
    assert!(
        is_part(vendor) && is_part(own),
        "`{name}` is not a valid plugin name"
    );
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("a JSON schema");
    assert_eq!(schema["$schema"], DIALECT);
    check_object(&schema, "");
    let validator = jsonschema::draft202012::new(&schema).expect("a valid schema");
    let examples = schema["examples"]
        .as_array()
        .expect("a schema with examples");
    assert!(!examples.is_empty(), "the schema has no examples");
    for example in examples {
        for config in [example.clone(), with_defaults(example, &schema)] {
            if let Err(error) = validator.validate(&config) {
                panic!("{config} violates the schema: {error}");
            }
            let errors = plugin::validate::<P>(&config.to_string());
            assert!(errors.is_empty(), "{config}: {errors:?}");
        }
        assert!(
            read::<P>(example) == read::<P>(&with_defaults(example, &schema)),
            "{example} has another meaning with its defaults spelled out"
        );
    }
}

/// Checks that each of these configs is rejected by the schema or by the plugin's `validate`.
pub fn check_schema_refuses<P: Plugin>(configs: &[&str]) {
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("a JSON schema");
    let validator = jsonschema::draft202012::new(&schema).expect("a valid schema");
    for config in configs {
        let value = serde_json::from_str(config).expect("a JSON config");
        let refused = !validator.is_valid(&value) || !plugin::validate::<P>(config).is_empty();
        assert!(refused, "{config} is accepted");
    }
}

fn check_object(schema: &Value, at: &str) {
    assert_eq!(schema["type"], "object", "{at}");
    assert_eq!(schema["additionalProperties"], false, "{at}");
    let none = Map::new();
    let required: Vec<_> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    for (name, property) in schema["properties"].as_object().unwrap_or(&none) {
        let at = format!("{at}/{name}");
        for word in ["title", "description"] {
            assert!(property[word].is_string(), "{at} has no {word}");
        }
        let is_required = required.iter().any(|&required| required == name.as_str());
        assert!(
            is_required || property.get("default").is_some() || property.get("examples").is_some(),
            "{at} has neither a default nor an example"
        );
        if property["items"]["type"] == "object" {
            check_object(&property["items"], &at);
        }
    }
}

fn with_defaults(config: &Value, schema: &Value) -> Value {
    let mut config = config.as_object().expect("an object").clone();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let (None, Some(default)) = (config.get(name), property.get("default")) {
            config.insert(name.clone(), default.clone());
        }
    }
    Value::Object(config)
}

fn read<P: Plugin>(config: &Value) -> P::Config {
    plugin::read_config::<P>(&config.to_string()).expect("a valid example")
}
