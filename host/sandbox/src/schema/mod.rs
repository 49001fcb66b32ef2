//! Checks configs against the plugin's own JSON Schema.

mod bounds;
mod worker;

pub(crate) use worker::{SchemaChecker, check_child};

use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;
use tidegate_core::plugin::FieldError;

use crate::limits::{MAX_CONFIG_BYTES, MAX_REASON_BYTES, MAX_SCHEMA_BYTES, truncate};

/// Maximum size of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 256 << 10;
/// Maximum product of the schema's parts and the config's values, an estimate of the number of checks.
const MAX_CHECKS: u64 = 50_000_000;
/// Maximum product of the schema's patterns and the bytes of the config's texts: as many patterns as a schema may have,
/// on the largest config.
const MAX_TEXT_BYTES: u64 = 128 * MAX_CONFIG_BYTES as u64;
/// Up to this number of checks all errors are collected; above it, only the first one, since building errors is costly.
const MAX_CHECKS_FOR_ALL_ERRORS: u64 = 1_000_000;
/// Maximum number of reported errors.
const MAX_ERRORS: usize = 32;
/// Maximum number of a schema's examples that are tried.
const MAX_EXAMPLES: usize = 32;

/// Why a text is not a config schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum InvalidSchema {
    #[error("it has {0} bytes; the maximum is {MAX_SCHEMA_BYTES}")]
    TooLarge(usize),
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("{0}")]
    OutOfBounds(#[from] bounds::SchemaBoundsError),
    #[error("it is not a JSON Schema: {0}")]
    Invalid(String),
}

impl InvalidSchema {
    fn check_length(text: &str) -> Result<(), Self> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(Self::TooLarge(text.len()));
        }
        Ok(())
    }
}

/// A plugin's config schema, compiled.
struct ConfigSchema {
    validator: Validator,
    /// The schema itself, for its examples and defaults.
    schema: Value,
    size: bounds::SchemaSize,
}

impl ConfigSchema {
    /// Reads a schema of draft 2020-12. Schemas are untrusted, so whatever could make checking slow is ruled out:
    /// nothing is fetched, patterns match in linear time, and a recursive schema is refused.
    ///
    /// Runs in the child process, as all methods do: what is not ruled out must not take the server's time.
    fn read(text: &str) -> Result<Self, InvalidSchema> {
        InvalidSchema::check_length(text)?;
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| InvalidSchema::NotJson(error.to_string()))?;
        let size = bounds::check(&schema)?;
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
            size,
        })
    }

    /// The errors of a config. Their paths are JSON pointers.
    fn check(&self, config: &Value) -> Vec<FieldError> {
        if let Err(message) = self.check_cost(config) {
            let path = String::new();
            return vec![FieldError { path, message }];
        }
        let checks = self.checks(config);
        if checks > MAX_CHECKS_FOR_ALL_ERRORS {
            let first = self.validator.validate(config).err();
            return first.iter().flat_map(field_errors).collect();
        }
        let errors = self.validator.iter_errors(config).take(MAX_ERRORS);
        let fields = errors.flat_map(|error| field_errors(&error));
        fields.take(MAX_ERRORS).collect()
    }

    fn checks(&self, config: &Value) -> u64 {
        self.size.parts.saturating_mul(count_values(config))
    }

    /// Refuses a config that would take too many checks.
    fn check_cost(&self, config: &Value) -> Result<(), String> {
        if self.checks(config) > MAX_CHECKS {
            let parts = self.size.parts;
            return Err(format!(
                "it has too many values for a schema of {parts} parts; the maximum is {}",
                MAX_CHECKS / parts
            ));
        }
        let text_checks = self.size.text_checks;
        if text_checks.saturating_mul(count_text_bytes(config)) > MAX_TEXT_BYTES {
            return Err(format!(
                "its texts are too long for a schema with {text_checks} patterns and lengths; the maximum is {} bytes",
                MAX_TEXT_BYTES / text_checks
            ));
        }
        Ok(())
    }

    /// A valid config, built from the schema's examples and defaults; none if that is not possible.
    fn example(&self) -> Option<Value> {
        let examples = self.schema.get("examples").and_then(Value::as_array);
        let default = self.schema.get("default");
        let empty = Value::Object(serde_json::Map::new());
        examples
            .into_iter()
            .flatten()
            .take(MAX_EXAMPLES)
            .chain(default)
            .cloned()
            .chain([empty, self.example_from_fields()])
            .find(|config| {
                config.is_object()
                    && self.check_cost(config).is_ok()
                    && self.validator.is_valid(config)
            })
    }

    /// An object with the default or first example of every field.
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

/// Parses a config. For every plugin it must be a JSON object of limited size.
pub(crate) fn parse_config(text: &str) -> Result<Value, FieldError> {
    let config_error = |message: String| FieldError {
        path: String::new(),
        message,
    };
    if text.len() > MAX_CONFIG_BYTES {
        let bytes = text.len();
        return Err(config_error(format!(
            "the config has {bytes} bytes; the maximum is {MAX_CONFIG_BYTES}"
        )));
    }
    match serde_json::from_str(text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(config_error("the config must be a JSON object".to_owned())),
        Err(error) => Err(config_error(format!("the config is not JSON: {error}"))),
    }
}

/// One error per invalid field. The validator reports unknown and missing fields on their object; here they are
/// reported on the field.
fn field_errors(error: &jsonschema::ValidationError<'_>) -> Vec<FieldError> {
    let at = error.instance_path();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .take(MAX_ERRORS)
            .map(|name| FieldError {
                path: child_pointer(at.as_str(), name),
                message: "unknown field".to_owned(),
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

/// The JSON pointer of an object's field.
fn child_pointer(object: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    truncate(&format!("{object}/{name}"), MAX_REASON_BYTES).to_owned()
}

/// The number of values in a config, including itself.
fn count_values(config: &Value) -> u64 {
    1 + match config {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(fields) => fields.values().map(count_values).sum(),
        _ => 0,
    }
}

/// The length of all texts in a config, names included.
fn count_text_bytes(config: &Value) -> u64 {
    match config {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(count_text_bytes).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() as u64 + count_text_bytes(value))
            .sum(),
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
        let config = serde_json::from_str(config).expect("the config is JSON");
        ConfigSchema::read(STAGED)
            .expect("the schema is valid")
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
        let schema = ConfigSchema::read(STAGED).expect("the schema is valid");
        assert_eq!(schema.example(), Some(serde_json::json!({"percent": 10})));
        let impossible = ConfigSchema::read(r#"{"required": ["x"]}"#).expect("the schema is valid");
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
        let schema = ConfigSchema::read(&schema.to_string()).expect("the schema is valid");
        let errors = |item: i64, items: usize| {
            let config = serde_json::json!({"a": vec![item; items]});
            schema.check(&config).len()
        };
        assert_eq!(errors(0, 60_000), 0);
        assert_eq!(errors(-1, 100), MAX_ERRORS);
        assert_eq!(errors(-1, 60_000), 1, "only the first error");
        assert_eq!(errors(0, 200_000), 1, "too many values");
    }

    #[test]
    fn patterns_times_text_is_limited() {
        let patterns: Vec<_> = (0..50)
            .map(|n| serde_json::json!({"pattern": format!("{n}$")}))
            .collect();
        let schema = serde_json::json!({
            "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}},
            "$defs": {"x": {"not": {"anyOf": patterns}}}
        });
        let schema = ConfigSchema::read(&schema.to_string()).expect("the schema is valid");
        let errors = |length: usize| schema.check(&serde_json::json!({"a": "x".repeat(length)}));
        assert_eq!(errors(1_000), []);
        let refused = errors(240_000);
        assert_eq!(refused.len(), 1);
        assert!(
            refused[0].message.starts_with("its texts are too long"),
            "{refused:?}"
        );
    }

    /// Names of keywords are names of fields too.
    #[test]
    fn fields_may_be_called_as_keywords_are() {
        let schema = r##"{
            "properties": {
                "default": {"$ref": "#/$defs/const"},
                "examples": {"type": "integer", "default": 1},
                "$id": {"type": "string"}
            },
            "$defs": {"const": {"type": "string", "minLength": 2}}
        }"##;
        let schema = ConfigSchema::read(schema).expect("the schema is valid");
        let errors = |config: Value| -> Vec<String> {
            let mut paths: Vec<_> = schema
                .check(&config)
                .into_iter()
                .map(|error| error.path)
                .collect();
            paths.sort_unstable();
            paths
        };
        assert_eq!(
            errors(serde_json::json!({"default": "ab", "examples": 1, "$id": "x"})),
            [""; 0]
        );
        assert_eq!(errors(serde_json::json!({"default": "a"})), ["/default"]);
        assert_eq!(
            errors(serde_json::json!({"examples": "a", "$id": 1})),
            ["/$id", "/examples"]
        );
        assert_eq!(schema.example(), Some(serde_json::json!({})));
    }

    #[test]
    fn an_invalid_schema_is_refused_with_a_reason() {
        for (schema, reason) in [
            ("{", "it is not JSON: "),
            (r#"{"type": "wave"}"#, "it is not a JSON Schema: at `/type`"),
            (r#"{"pattern": "("}"#, "it is not a JSON Schema: "),
            (r#"{"pattern": "(?=x)"}"#, "it is not a JSON Schema: "),
            (
                r#"{"pattern": "(\\w{500}){500}"}"#,
                "it is not a JSON Schema: ",
            ),
            (
                r#"{"$ref": "https://example.com/schema.json"}"#,
                "`$ref` at ``",
            ),
        ] {
            let error = ConfigSchema::read(schema)
                .err()
                .map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{schema} was accepted"));
            assert!(error.starts_with(reason), "{schema}: {error}");
        }
        assert_eq!(
            ConfigSchema::read(&" ".repeat(MAX_SCHEMA_BYTES + 1)).err(),
            Some(InvalidSchema::TooLarge(MAX_SCHEMA_BYTES + 1))
        );
    }
}
