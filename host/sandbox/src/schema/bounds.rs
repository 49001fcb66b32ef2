//! Bounds of config schemas, so that neither parsing a schema nor checking a config against it can take long.
//!
//! References can multiply the work: a chain of a hundred definitions with two references each takes 2^100 checks. So
//! references must be JSON pointers into the schema itself and must not form a cycle, and the expanded schema is limited
//! to a few thousand parts.

use std::collections::HashMap;

use serde_json::Value;

/// Maximum number of parts of an expanded schema: a definition counts once per reference.
const MAX_PARTS: u64 = 4_000;
/// Maximum nesting depth, references included: validators walk a schema recursively.
const MAX_DEPTH: usize = 64;
/// Maximum number of patterns of a schema.
const MAX_PATTERNS: usize = 128;
/// The supported dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords whose values are data, not schemas.
const DATA_KEYWORDS: [&str; 5] = ["const", "enum", "default", "examples", "example"];
/// Keywords that make references without JSON pointers, or change the meaning of pointers.
const UNSUPPORTED_KEYWORDS: [&str; 5] = [
    "$dynamicRef",
    "$dynamicAnchor",
    "$anchor",
    "$recursiveRef",
    "$vocabulary",
];

/// A bound that a schema violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemaBoundsError {
    #[error("`{0}` at `{1}` is not supported in config schemas")]
    Keyword(String, String),
    #[error("`$schema` is `{0}`; it must be `{DIALECT}`")]
    Dialect(String),
    #[error(
        "`$ref` at `{0}` is `{1}`; a config schema may refer only to its own parts, as in `#/$defs/...`"
    )]
    Foreign(String, String),
    #[error("`$ref` at `{0}` has no target")]
    Dangling(String),
    #[error("`$ref` at `{0}` is recursive, which is not supported in config schemas")]
    Cycle(String),
    #[error("it expands to more than {MAX_PARTS} parts")]
    Parts,
    #[error("it is nested more than {MAX_DEPTH} levels deep")]
    Depth,
    #[error("it has more than {MAX_PATTERNS} patterns")]
    Patterns,
}

/// Checks a schema, and returns the number of parts of its expansion.
pub(super) fn check(schema: &Value) -> Result<u64, SchemaBoundsError> {
    match schema.get("$schema") {
        None => {}
        Some(Value::String(dialect)) if dialect.trim_end_matches('#') == DIALECT => {}
        Some(other) => return Err(SchemaBoundsError::Dialect(other.to_string())),
    }
    let mut measurer = SchemaMeasurer {
        schema,
        measured: HashMap::new(),
        patterns: 0,
        depth: 0,
    };
    Ok(measurer.measure(schema, "")?.parts)
}

/// The size of an expanded part.
#[derive(Debug, Clone, Copy)]
struct SchemaSize {
    parts: u64,
    height: usize,
}

impl SchemaSize {
    /// Adds the size of a nested part.
    fn add(&mut self, inner: Self) -> Result<(), SchemaBoundsError> {
        self.parts = self.parts.saturating_add(inner.parts);
        self.height = self.height.max(inner.height + 1);
        if self.parts > MAX_PARTS {
            return Err(SchemaBoundsError::Parts);
        }
        if self.height > MAX_DEPTH {
            return Err(SchemaBoundsError::Depth);
        }
        Ok(())
    }
}

struct SchemaMeasurer<'a> {
    schema: &'a Value,
    /// Sizes of the targets of pointers; none while a target is being measured.
    measured: HashMap<&'a str, Option<SchemaSize>>,
    patterns: usize,
    depth: usize,
}

impl<'a> SchemaMeasurer<'a> {
    fn measure(&mut self, part: &'a Value, at: &str) -> Result<SchemaSize, SchemaBoundsError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SchemaBoundsError::Depth);
        }
        let mut size = SchemaSize {
            parts: 1,
            height: 1,
        };
        match part {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    size.add(self.measure(item, &format!("{at}/{index}"))?)?;
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    if !DATA_KEYWORDS.contains(&name.as_str()) {
                        self.measure_field(&mut size, name, value, at)?;
                    }
                }
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(size)
    }

    fn measure_field(
        &mut self,
        size: &mut SchemaSize,
        name: &str,
        value: &'a Value,
        at: &str,
    ) -> Result<(), SchemaBoundsError> {
        if UNSUPPORTED_KEYWORDS.contains(&name) || (name == "$id" && !at.is_empty()) {
            return Err(SchemaBoundsError::Keyword(name.to_owned(), at.to_owned()));
        }
        size.add(self.measure(value, &format!("{at}/{name}"))?)?;
        match (name, value) {
            ("$ref", Value::String(target)) => size.add(self.measure_reference(target, at)?),
            ("pattern", Value::String(_)) => self.count_patterns(1),
            ("patternProperties", Value::Object(patterns)) => self.count_patterns(patterns.len()),
            _ => Ok(()),
        }
    }

    fn measure_reference(
        &mut self,
        target: &'a str,
        at: &str,
    ) -> Result<SchemaSize, SchemaBoundsError> {
        let pointer = match target.strip_prefix('#') {
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => pointer,
            _ => {
                let target = crate::limits::truncate(target, 200).to_owned();
                return Err(SchemaBoundsError::Foreign(at.to_owned(), target));
            }
        };
        match self.measured.get(pointer) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(SchemaBoundsError::Cycle(at.to_owned())),
            None => {}
        }
        let part = self
            .schema
            .pointer(pointer)
            .ok_or_else(|| SchemaBoundsError::Dangling(at.to_owned()))?;
        self.measured.insert(pointer, None);
        let size = self.measure(part, pointer)?;
        self.measured.insert(pointer, Some(size));
        Ok(size)
    }

    fn count_patterns(&mut self, extra: usize) -> Result<(), SchemaBoundsError> {
        self.patterns += extra;
        if self.patterns > MAX_PATTERNS {
            return Err(SchemaBoundsError::Patterns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DIALECT, SchemaBoundsError, Value};

    fn check(schema: &Value) -> Result<(), SchemaBoundsError> {
        super::check(schema).map(drop)
    }

    #[test]
    fn valid_schemas_pass() {
        for schema in [
            json!({}),
            json!(true),
            json!({"$schema": DIALECT, "$id": "https://example.com/canary", "type": "object"}),
            json!({"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}},
                   "$defs": {"x": {"type": "string"}}}),
            json!({"default": {"$ref": "data, no reference"}}),
            json!({"properties": {"$ref": {"type": "string"}}}),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn references_are_local_and_acyclic() {
        let foreign = |target: &str| {
            Err(SchemaBoundsError::Foreign(
                "/items".to_owned(),
                target.to_owned(),
            ))
        };
        for target in [
            "https://example.com/x",
            "file:///etc/passwd",
            "other.json",
            "#name",
        ] {
            assert_eq!(check(&json!({"items": {"$ref": target}})), foreign(target));
        }
        for cycle in [
            json!({"items": {"$ref": "#"}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}),
            json!({"$ref": "#/$defs/a",
                   "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        ] {
            assert!(
                matches!(check(&cycle), Err(SchemaBoundsError::Cycle(_))),
                "{cycle}"
            );
        }
        assert_eq!(
            check(&json!({"$ref": "#/$defs/missing"})),
            Err(SchemaBoundsError::Dangling(String::new()))
        );
    }

    #[test]
    fn an_exponentially_growing_schema_is_refused() {
        let mut definitions = serde_json::Map::new();
        for step in 0..15 {
            let next = json!({"$ref": format!("#/$defs/{}", step + 1)});
            definitions.insert(step.to_string(), json!({"anyOf": [next, next]}));
        }
        definitions.insert("15".to_owned(), json!({"type": "string"}));
        let schema = json!({"$ref": "#/$defs/0", "$defs": definitions});
        assert_eq!(check(&schema), Err(SchemaBoundsError::Parts));
    }

    #[test]
    fn depth_is_bounded_with_references_followed() {
        let nested = |steps: usize| (0..steps).fold(json!({}), |inner, _| json!({"not": inner}));
        assert_eq!(check(&nested(60)), Ok(()));
        assert_eq!(check(&nested(65)), Err(SchemaBoundsError::Depth));
        let mut chain = json!({"$ref": "#/$defs/0", "$defs": {"40": {}}});
        for step in 0..40 {
            chain["$defs"][step.to_string()] = json!({"$ref": format!("#/$defs/{}", step + 1)});
        }
        assert_eq!(check(&chain), Ok(()));
        for step in 40..80 {
            chain["$defs"][step.to_string()] = json!({"$ref": format!("#/$defs/{}", step + 1)});
        }
        chain["$defs"]["80"] = json!({});
        assert_eq!(check(&chain), Err(SchemaBoundsError::Depth));
    }

    #[test]
    fn unsupported_dialects_and_keywords_are_named() {
        assert!(matches!(
            check(&json!({"$schema": "http://json-schema.org/draft-07/schema#"})),
            Err(SchemaBoundsError::Dialect(_))
        ));
        for keyword in ["$dynamicRef", "$anchor", "$id"] {
            let schema = json!({"items": {keyword: "https://example.com"}});
            assert_eq!(
                check(&schema),
                Err(SchemaBoundsError::Keyword(
                    keyword.to_owned(),
                    "/items".to_owned()
                ))
            );
        }
        let patterns: serde_json::Map<_, _> =
            (0..129).map(|n| (format!("^{n}$"), json!(true))).collect();
        assert_eq!(
            check(&json!({"patternProperties": patterns})),
            Err(SchemaBoundsError::Patterns)
        );
    }
}
