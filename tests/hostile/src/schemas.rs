//! Config schemas that are small but expensive to check.

use serde_json::{Value, json};

/// Names of keywords whose values are data. Here they are names of properties.
pub const DATA_KEYWORDS: [&str; 5] = ["default", "const", "enum", "examples", "example"];

/// A schema that takes 2^40 checks of a config with this property: 40 definitions below the property's schema, each of
/// which refers twice to the next one.
pub fn doubling_schema(property: &str) -> Value {
    let target = |level: usize| json!({"$ref": format!("#/properties/{property}/$defs/{level}")});
    let mut definitions: serde_json::Map<_, _> = (0..40)
        .map(|level| {
            let next = target(level + 1);
            (level.to_string(), json!({"allOf": [next, next]}))
        })
        .collect();
    definitions.insert("40".to_owned(), json!({"type": "integer"}));
    let mut schema = target(0);
    schema["$defs"] = definitions.into();
    json!({"properties": {property: schema}})
}

/// A schema within all bounds whose checks take minutes: patterns that match in linear time, but thousands of steps for
/// each byte. It has no example, and only the config of [`slow_config`] is slow.
pub fn slow_schema() -> Value {
    let patterns = (0..40).map(|number| {
        let length = 1_900 + number;
        json!({"not": {"pattern": format!("a[ab]{{{length}}}[c-z]")}})
    });
    json!({
        "required": ["text"],
        "properties": {"text": {"type": "string", "allOf": patterns.collect::<Vec<_>>()}}
    })
}

/// A config that is slow to check against [`slow_schema`].
pub fn slow_config() -> Value {
    // Any sequence without a period will do.
    let letter = |number: u32| {
        if number.wrapping_mul(2_654_435_761) & (1 << 16) == 0 {
            'a'
        } else {
            'b'
        }
    };
    let text: String = (0..200_000).map(letter).collect();
    json!({ "text": text })
}
