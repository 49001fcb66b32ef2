//! Configs against the plugin's own JSON Schema.

mod bounds;

use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;
use tidegate_core::plugin::FieldError;

use crate::{
    limits::MAX_CONFIG_BYTES,
    text::{MAX_REASON_BYTES, truncate},
};

/// Bytes of a schema.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Bytes that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 256 << 10;
/// Parts of the schema times values of the config: about how many checks there may be.
const MAX_CHECKS: u64 = 50_000_000;
/// Up to so many, every error is looked for; beyond, the first one ends it, for each error is costly to put together.
const MAX_CHECKS_FOR_ALL_ERRORS: u64 = 1_000_000;
/// So many errors are enough for a person to go on with.
const MAX_ERRORS: usize = 32;

/// Why a text is no config schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSchema {
    #[error("it is {0} bytes long, and may be {MAX_SCHEMA_BYTES}")]
    TooLarge(usize),
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("{0}")]
    OutOfBounds(#[from] bounds::SchemaBoundsError),
    #[error("it is no JSON Schema: {0}")]
    Invalid(String),
}

/// A plugin's config schema, ready to check configs.
pub(crate) struct ConfigSchema {
    validator: Validator,
    /// The schema itself, for its examples and defaults.
    schema: Value,
    /// How many parts it unfolds to.
    parts: u64,
}

impl ConfigSchema {
    /// Reads a schema of draft 2020-12. It comes from a stranger, so whatever could make checking slow is refused:
    /// nothing is fetched, patterns are matched in linear time, and the schema may not refer to itself.
    pub(crate) fn read(text: &str) -> Result<Self, InvalidSchema> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(InvalidSchema::TooLarge(text.len()));
        }
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| InvalidSchema::NotJson(error.to_string()))?;
        let parts = bounds::check(&schema)?;
        jsonschema::draft202012::meta::validate(&schema).map_err(|error| invalid_schema(&error))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(MAX_PATTERN_BYTES)
                    .dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .build(&schema)
            .map_err(|error| invalid_schema(&error))?;
        Ok(Self {
            validator,
            schema,
            parts,
        })
    }

    /// What a config breaks. The paths are JSON pointers.
    pub(crate) fn check(&self, config: &Value) -> Vec<FieldError> {
        let checks = self.parts.saturating_mul(count_values(config));
        if checks > MAX_CHECKS {
            return vec![FieldError {
                path: String::new(),
                message: format!(
                    "it has too many values for a schema of {} parts: it may have {}",
                    self.parts,
                    MAX_CHECKS / self.parts
                ),
            }];
        }
        if checks > MAX_CHECKS_FOR_ALL_ERRORS {
            let first = self.validator.validate(config).err();
            return first.iter().flat_map(field_errors).collect();
        }
        let errors = self.validator.iter_errors(config).take(MAX_ERRORS);
        let fields = errors.flat_map(|error| field_errors(&error));
        fields.take(MAX_ERRORS).collect()
    }

    /// A config that the schema takes, from its own examples and defaults; none when it has no such.
    pub(crate) fn example(&self) -> Option<Value> {
        let examples = self.schema.get("examples").and_then(Value::as_array);
        let default = self.schema.get("default");
        let empty = Value::Object(serde_json::Map::new());
        examples
            .into_iter()
            .flatten()
            .chain(default)
            .cloned()
            .chain([empty, self.example_from_fields()])
            .find(|config| config.is_object() && self.validator.is_valid(config))
    }

    /// Every field by its default or first example.
    fn example_from_fields(&self) -> Value {
        let fields = self.schema.get("properties").and_then(Value::as_object);
        fields
            .into_iter()
            .flatten()
            .filter_map(|(name, field)| {
                let example = field.get("examples").and_then(|examples| examples.get(0));
                let value = field.get("default").or(example)?;
                Some((name.clone(), value.clone()))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// A config is a JSON object of bearable size, whatever the plugin.
pub(crate) fn parse_config(text: &str) -> Result<Value, FieldError> {
    let config_error = |message: String| FieldError {
        path: String::new(),
        message,
    };
    if text.len() > MAX_CONFIG_BYTES {
        let bytes = text.len();
        return Err(config_error(format!(
            "a config may have {MAX_CONFIG_BYTES} bytes, and this one has {bytes}"
        )));
    }
    match serde_json::from_str(text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(config_error("a config is a JSON object".to_owned())),
        Err(error) => Err(config_error(format!("a config is JSON: {error}"))),
    }
}

/// One for each field that is wrong, which is not always where the schema says so: an object is told of its fields that
/// nobody knows, and of one that is missing.
fn field_errors(error: &jsonschema::ValidationError<'_>) -> Vec<FieldError> {
    let at = error.instance_path();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .take(MAX_ERRORS)
            .map(|name| FieldError {
                path: child_pointer(at.as_str(), name),
                message: "there is no such field".to_owned(),
            })
            .collect(),
        ValidationErrorKind::Required { property } => vec![FieldError {
            path: match property.as_str() {
                Some(name) => child_pointer(at.as_str(), name),
                None => at.as_str().to_owned(),
            },
            message: "is missing".to_owned(),
        }],
        _ => vec![FieldError {
            path: at.as_str().to_owned(),
            message: truncate(&error.to_string(), MAX_REASON_BYTES).to_owned(),
        }],
    }
}

/// The JSON pointer of a field of an object.
fn child_pointer(object: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    truncate(&format!("{object}/{name}"), MAX_REASON_BYTES).to_owned()
}

/// How many values a config holds, itself and all within.
fn count_values(config: &Value) -> u64 {
    1 + match config {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(fields) => fields.values().map(count_values).sum(),
        _ => 0,
    }
}

fn invalid_schema(error: &jsonschema::ValidationError<'_>) -> InvalidSchema {
    let path = error.instance_path();
    InvalidSchema::Invalid(truncate(&format!("at `{path}`: {error}"), MAX_REASON_BYTES).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGED: &str = r##"{
        "type": "object",
        "required": ["percent"],
        "additionalProperties": false,
        "properties": {
            "percent": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
            "stages": {"type": "array", "items": {"$ref": "#/$defs/stage"}}
        },
        "$defs": {"stage": {"type": "string", "pattern": "^[a-z]+$"}}
    }"##;

    fn errors(config: &str) -> Vec<(String, String)> {
        let config = serde_json::from_str(config).expect("the test's own config is JSON");
        ConfigSchema::read(STAGED)
            .expect("the test's own schema is good")
            .check(&config)
            .into_iter()
            .map(|error| (error.path, error.message))
            .collect()
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(errors(r#"{"percent": 5, "stages": ["one"]}"#), []);
        for (config, path) in [
            (r#"{"percent": 0}"#, "/percent"),
            (r#"{"percent": 1, "stages": ["one", "2"]}"#, "/stages/1"),
            ("{}", "/percent"),
            (r#"{"percent": 1, "oth/er": 2}"#, "/oth~1er"),
        ] {
            let found = errors(config);
            assert_eq!(found.len(), 1, "{config}: {found:?}");
            assert_eq!(found[0].0, path, "{config}: {found:?}");
        }
    }

    #[test]
    fn an_example_is_built_from_defaults() {
        let schema = ConfigSchema::read(STAGED).expect("the test's own schema is good");
        assert_eq!(schema.example(), Some(serde_json::json!({"percent": 10})));
        let impossible = ConfigSchema::read(r#"{"required": ["x"]}"#).expect("it is a schema");
        assert_eq!(impossible.example(), None);
    }

    #[test]
    fn configs_are_bounded_objects() {
        assert!(parse_config("{}").is_ok());
        for bad in [
            "",
            "[]",
            "null",
            "{",
            &format!("{{\"a\":\"{}\"}}", "x".repeat(256 << 10)),
        ] {
            assert!(parse_config(bad).is_err());
        }
    }

    #[test]
    fn the_number_of_checks_is_limited() {
        let branches: Vec<_> = (0..300).map(|n| serde_json::json!({"const": n})).collect();
        let schema = serde_json::json!({"properties": {"a": {"items": {"anyOf": branches}}}});
        let schema = ConfigSchema::read(&schema.to_string()).expect("it is a schema");
        let errors = |item: i64, items: usize| {
            let config = serde_json::json!({"a": vec![item; items]});
            schema.check(&config).len()
        };
        assert_eq!(errors(0, 60_000), 0);
        assert_eq!(errors(-1, 100), MAX_ERRORS);
        assert_eq!(errors(-1, 60_000), 1, "the first one");
        assert_eq!(errors(0, 200_000), 1, "too many values");
    }

    #[test]
    fn an_invalid_schema_is_refused_with_a_reason() {
        for (schema, reason) in [
            ("{", "it is no JSON: "),
            (r#"{"type": "wave"}"#, "it is no JSON Schema: at `/type`"),
            (r#"{"pattern": "("}"#, "it is no JSON Schema: "),
            (r#"{"pattern": "(?=x)"}"#, "it is no JSON Schema: "),
            (
                r#"{"pattern": "(\\w{500}){500}"}"#,
                "it is no JSON Schema: ",
            ),
            (
                r#"{"$ref": "https://example.com/schema.json"}"#,
                "`$ref` at ``",
            ),
        ] {
            let error = ConfigSchema::read(schema)
                .err()
                .map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{schema} was taken"));
            assert!(error.starts_with(reason), "{schema}: {error}");
        }
        assert_eq!(
            ConfigSchema::read(&" ".repeat(MAX_SCHEMA_BYTES + 1)).err(),
            Some(InvalidSchema::TooLarge(MAX_SCHEMA_BYTES + 1))
        );
    }
}
