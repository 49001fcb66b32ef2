//! Whether a plugin's schema tells the truth about its config.

use serde_json::{Map, Value};

use crate::{Plugin, plugin};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Checks what a plugin says of itself: its name, that its schema is one that forms can be drawn from, that the
/// schema's examples are good configs, and that spelling out a default changes nothing. Panics with what is wrong.
pub fn check_schema<P: Plugin>()
where
    P::Config: PartialEq,
{
    let name = P::NAME;
    let in_alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        (1..=64).contains(&name.len()) && name.chars().all(in_alphabet),
        "`{name}` is no plugin name"
    );
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("the schema is JSON");
    assert_eq!(schema["$schema"], DIALECT);
    check_object(&schema, "");
    let validator = jsonschema::draft202012::new(&schema).expect("the schema is a schema");
    let examples = schema["examples"]
        .as_array()
        .expect("the schema has examples");
    assert!(!examples.is_empty(), "the schema has examples");
    for example in examples {
        for config in [example.clone(), with_defaults(example, &schema)] {
            if let Err(error) = validator.validate(&config) {
                panic!("{config} breaks the schema: {error}");
            }
            let errors = plugin::validate::<P>(&config.to_string());
            assert!(errors.is_empty(), "{config}: {errors:?}");
        }
        assert!(
            read::<P>(example) == read::<P>(&with_defaults(example, &schema)),
            "{example} means something else once its defaults are spelled out"
        );
    }
}

/// Checks that each of these configs is refused, by the schema or by the plugin's own `validate`.
pub fn check_schema_refuses<P: Plugin>(configs: &[&str]) {
    let schema: Value = serde_json::from_str(P::SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("the schema is a schema");
    for config in configs {
        let value = serde_json::from_str(config).expect("the config is JSON");
        let refused = !validator.is_valid(&value) || !plugin::validate::<P>(config).is_empty();
        assert!(refused, "{config} is let through");
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
            assert!(property[word].is_string(), "{at} has a {word}");
        }
        let is_required = required.iter().any(|&required| required == name.as_str());
        assert!(
            is_required || property.get("default").is_some() || property.get("examples").is_some(),
            "{at} has a default, or an example where leaving it out means something else"
        );
        if property["items"]["type"] == "object" {
            check_object(&property["items"], &at);
        }
    }
}

fn with_defaults(config: &Value, schema: &Value) -> Value {
    let mut config = config.as_object().expect("a config is an object").clone();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let (None, Some(default)) = (config.get(name), property.get("default")) {
            config.insert(name.clone(), default.clone());
        }
    }
    Value::Object(config)
}

fn read<P: Plugin>(config: &Value) -> P::Config {
    plugin::read_config::<P>(&config.to_string()).expect("an example is a config")
}
