//! Configs against the plugin's own JSON Schema.

mod bounds;

use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;
use tidegate_core::plugin::FieldError;

use crate::{
    limits::CONFIG_BYTES,
    text::{REASON_BYTES, cut},
};

/// Bytes of a schema.
const SCHEMA_BYTES: usize = 64 << 10;
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 256 << 10;
/// Parts of the schema times values of the config: about how many checks there may be.
const CHECKS: u64 = 50_000_000;
/// Up to so many, every error is looked for; beyond, the first one ends it, for each error is costly to put together.
const THOROUGH_CHECKS: u64 = 1_000_000;
/// So many errors are enough for a person to go on with.
const ERRORS: usize = 32;

/// Why a text is no config schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSchema {
    #[error("it is {0} bytes long, and may be {SCHEMA_BYTES}")]
    TooLarge(usize),
    #[error("it is no JSON: {0}")]
    NotJson(String),
    #[error("{0}")]
    OutOfBounds(#[from] bounds::OutOfBounds),
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
    pub(crate) fn read(text: &str) -> Result<Self, BadSchema> {
        if text.len() > SCHEMA_BYTES {
            return Err(BadSchema::TooLarge(text.len()));
        }
        let schema: Value =
            serde_json::from_str(text).map_err(|error| BadSchema::NotJson(error.to_string()))?;
        let parts = bounds::check(&schema)?;
        jsonschema::draft202012::meta::validate(&schema).map_err(|error| invalid(&error))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(PATTERN_BYTES)
                    .dfa_size_limit(PATTERN_BYTES),
            )
            .build(&schema)
            .map_err(|error| invalid(&error))?;
        Ok(Self {
            validator,
            schema,
            parts,
        })
    }

    /// What a config breaks. The paths are JSON pointers.
    pub(crate) fn check(&self, config: &Value) -> Vec<FieldError> {
        let checks = self.parts.saturating_mul(values(config));
        if checks > CHECKS {
            return vec![FieldError {
                path: String::new(),
                message: format!(
                    "it has too many values for a schema of {} parts: it may have {}",
                    self.parts,
                    CHECKS / self.parts
                ),
            }];
        }
        if checks > THOROUGH_CHECKS {
            let first = self.validator.validate(config).err();
            return first.iter().flat_map(field_errors).collect();
        }
        let errors = self.validator.iter_errors(config).take(ERRORS);
        let fields = errors.flat_map(|error| field_errors(&error));
        fields.take(ERRORS).collect()
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
            .chain([empty, self.example_of_fields()])
            .find(|config| config.is_object() && self.validator.is_valid(config))
    }

    /// Every field by its default or first example.
    fn example_of_fields(&self) -> Value {
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
    let whole = |message: String| FieldError {
        path: String::new(),
        message,
    };
    if text.len() > CONFIG_BYTES {
        let bytes = text.len();
        return Err(whole(format!(
            "a config may have {CONFIG_BYTES} bytes, and this one has {bytes}"
        )));
    }
    match serde_json::from_str(text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(whole("a config is a JSON object".to_owned())),
        Err(error) => Err(whole(format!("a config is JSON: {error}"))),
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
            .take(ERRORS)
            .map(|name| FieldError {
                path: below(at.as_str(), name),
                message: "there is no such field".to_owned(),
            })
            .collect(),
        ValidationErrorKind::Required { property } => vec![FieldError {
            path: match property.as_str() {
                Some(name) => below(at.as_str(), name),
                None => at.as_str().to_owned(),
            },
            message: "is missing".to_owned(),
        }],
        _ => vec![FieldError {
            path: at.as_str().to_owned(),
            message: cut(&error.to_string(), REASON_BYTES).to_owned(),
        }],
    }
}

/// The JSON pointer of a field of an object.
fn below(object: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    cut(&format!("{object}/{name}"), REASON_BYTES).to_owned()
}

/// How many values a config holds, itself and all within.
fn values(config: &Value) -> u64 {
    1 + match config {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}

fn invalid(error: &jsonschema::ValidationError<'_>) -> BadSchema {
    let path = error.instance_path();
    BadSchema::Invalid(cut(&format!("at `{path}`: {error}"), REASON_BYTES).to_owned())
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
    fn an_example_is_made_of_defaults() {
        let schema = ConfigSchema::read(STAGED).expect("the test's own schema is good");
        assert_eq!(schema.example(), Some(serde_json::json!({"percent": 10})));
        let impossible = ConfigSchema::read(r#"{"required": ["x"]}"#).expect("it is a schema");
        assert_eq!(impossible.example(), None);
    }

    #[test]
    fn configs_are_objects_of_bearable_size() {
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
    fn big_configs_are_checked_up_to_a_bound() {
        let branches: Vec<_> = (0..300).map(|n| serde_json::json!({"const": n})).collect();
        let schema = serde_json::json!({"properties": {"a": {"items": {"anyOf": branches}}}});
        let schema = ConfigSchema::read(&schema.to_string()).expect("it is a schema");
        let errors = |item: i64, items: usize| {
            let config = serde_json::json!({"a": vec![item; items]});
            schema.check(&config).len()
        };
        assert_eq!(errors(0, 60_000), 0);
        assert_eq!(errors(-1, 100), ERRORS);
        assert_eq!(errors(-1, 60_000), 1, "the first one");
        assert_eq!(errors(0, 200_000), 1, "too many values");
    }

    #[test]
    fn a_bad_schema_is_refused_with_its_reason() {
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
            ConfigSchema::read(&" ".repeat(SCHEMA_BYTES + 1)).err(),
            Some(BadSchema::TooLarge(SCHEMA_BYTES + 1))
        );
    }
}
