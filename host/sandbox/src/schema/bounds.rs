//! Bounds of config schemas, so that neither parsing a schema nor checking a config against it can take long.
//!
//! References can multiply the work: a chain of a hundred definitions with two references each takes 2^100 checks. So
//! references must be JSON pointers to schemas within the schema itself and must not form a cycle, and the expanded
//! schema is limited to a few thousand parts.
//!
//! What a value means depends on the keyword that it is under, never on its name alone: a property may be called
//! `default`, and its schema is measured as any other.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Maximum number of parts of an expanded schema: a definition counts once per reference.
const MAX_PARTS: u64 = 4_000;
/// Number of values of a `const` or an `enum` that count as one part: comparing takes less time than checking.
const VALUES_PER_PART: u64 = 8;
/// Maximum nesting depth, references included: validators walk a schema recursively.
const MAX_DEPTH: usize = 64;
/// Maximum number of patterns of a schema.
const MAX_PATTERNS: usize = 128;
/// The supported dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords that make references without JSON pointers, or change the meaning of pointers.
const UNSUPPORTED_KEYWORDS: [&str; 5] = [
    "$dynamicRef",
    "$dynamicAnchor",
    "$anchor",
    "$recursiveRef",
    "$vocabulary",
];
/// Keywords whose schemas apply to the same value as the schema that contains them.
const IN_PLACE_KEYWORDS: [&str; 9] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
];
/// Keywords that check the schemas beside them a second time, to find out what they have evaluated.
const UNEVALUATED_KEYWORDS: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

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
    #[error("the target of `$ref` at `{0}` is not a schema")]
    NotASchema(String),
    #[error("`$ref` at `{0}` is recursive, which is not supported in config schemas")]
    Cycle(String),
    #[error("it expands to more than {MAX_PARTS} parts")]
    Parts,
    #[error("it is nested more than {MAX_DEPTH} levels deep")]
    Depth,
    #[error("it has more than {MAX_PATTERNS} patterns")]
    Patterns,
}

/// Checks a schema, and returns the size of its expansion.
pub(super) fn check(schema: &Value) -> Result<SchemaSize, SchemaBoundsError> {
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
    measurer.measure(schema, "")
}

/// What a value is, by the keyword that it is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueRole {
    /// A schema or an array of schemas, or the value of a keyword that has no schemas. Unknown keywords count as this,
    /// because references may point into them.
    Schema,
    /// An object whose members are schemas with names that mean nothing.
    NamedSchemas,
    /// Values that configs are compared with.
    Compared,
    /// Values that are only shown.
    Annotation,
}

impl ValueRole {
    fn of_keyword(keyword: &str) -> Self {
        match keyword {
            "properties" | "patternProperties" | "dependentSchemas" | "dependencies" | "$defs"
            | "definitions" => Self::NamedSchemas,
            "const" | "enum" => Self::Compared,
            "default" | "examples" | "example" => Self::Annotation,
            _ => Self::Schema,
        }
    }

    /// The role of a member of a value with this role.
    fn of_member(self, name: &str) -> Self {
        match self {
            Self::Schema => Self::of_keyword(name),
            Self::NamedSchemas => Self::Schema,
            Self::Compared | Self::Annotation => self,
        }
    }
}

/// The size of an expanded part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SchemaSize {
    /// Number of parts: an estimate of the number of checks of one value.
    pub(super) parts: u64,
    /// How many of its keywords read a whole text: patterns and lengths.
    pub(super) text_checks: u64,
    height: usize,
}

impl SchemaSize {
    const PART: Self = Self {
        parts: 1,
        text_checks: 0,
        height: 1,
    };

    /// Adds the size of a nested part.
    fn add(&mut self, inner: Self) -> Result<(), SchemaBoundsError> {
        self.merge(Self {
            height: inner.height + 1,
            ..inner
        })
    }

    /// Adds the size of a part at the same level.
    fn merge(&mut self, other: Self) -> Result<(), SchemaBoundsError> {
        self.parts = self.parts.saturating_add(other.parts);
        self.text_checks = self.text_checks.saturating_add(other.text_checks);
        self.height = self.height.max(other.height);
        if self.parts > MAX_PARTS {
            return Err(SchemaBoundsError::Parts);
        }
        if self.height > MAX_DEPTH {
            return Err(SchemaBoundsError::Depth);
        }
        Ok(())
    }

    /// Adds what an `unevaluated...` keyword checks again: the schemas that apply in place, each once for every level
    /// above it. Within a schema that applies in place this multiplies.
    fn add_unevaluated(&mut self, in_place: Self) -> Result<(), SchemaBoundsError> {
        let levels = in_place.height as u64;
        self.merge(Self {
            parts: in_place.parts.saturating_mul(levels),
            text_checks: in_place.text_checks.saturating_mul(levels),
            height: 0,
        })
    }
}

struct SchemaMeasurer<'a> {
    schema: &'a Value,
    /// Sizes of the targets of pointers; none while a target is being measured.
    measured: HashMap<String, Option<SchemaSize>>,
    patterns: usize,
    depth: usize,
}

impl<'a> SchemaMeasurer<'a> {
    /// Measures a schema, or the value of a keyword that has no schemas.
    fn measure(&mut self, part: &'a Value, at: &str) -> Result<SchemaSize, SchemaBoundsError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SchemaBoundsError::Depth);
        }
        let mut size = SchemaSize::PART;
        match part {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    size.add(self.measure(item, &format!("{at}/{index}"))?)?;
                }
            }
            Value::Object(keywords) => self.measure_keywords(&mut size, keywords, at)?,
            _ => {}
        }
        self.depth -= 1;
        Ok(size)
    }

    fn measure_keywords(
        &mut self,
        size: &mut SchemaSize,
        keywords: &'a Map<String, Value>,
        at: &str,
    ) -> Result<(), SchemaBoundsError> {
        let mut in_place = SchemaSize::PART;
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            if UNSUPPORTED_KEYWORDS.contains(&keyword) || (keyword == "$id" && !at.is_empty()) {
                return Err(SchemaBoundsError::Keyword(
                    keyword.to_owned(),
                    at.to_owned(),
                ));
            }
            let measured = self.measure_keyword(keyword, value, at)?;
            if IN_PLACE_KEYWORDS.contains(&keyword) {
                in_place.add(measured)?;
            }
            size.add(measured)?;
        }
        if UNEVALUATED_KEYWORDS
            .iter()
            .any(|keyword| keywords.contains_key(*keyword))
        {
            size.add_unevaluated(in_place)?;
        }
        Ok(())
    }

    fn measure_keyword(
        &mut self,
        keyword: &str,
        value: &'a Value,
        at: &str,
    ) -> Result<SchemaSize, SchemaBoundsError> {
        let path = format!("{at}/{keyword}");
        let mut size = match (ValueRole::of_keyword(keyword), value) {
            (ValueRole::NamedSchemas, Value::Object(schemas)) => {
                self.measure_named_schemas(schemas, &path)?
            }
            (ValueRole::Schema | ValueRole::NamedSchemas, _) => self.measure(value, &path)?,
            (ValueRole::Compared, _) => SchemaSize {
                parts: super::count_values(value).div_ceil(VALUES_PER_PART),
                ..SchemaSize::PART
            },
            (ValueRole::Annotation, _) => SchemaSize::PART,
        };
        match (keyword, value) {
            ("$ref", Value::String(target)) => size.merge(self.measure_reference(target, at)?)?,
            ("pattern", Value::String(_)) => {
                self.count_patterns(1)?;
                size.text_checks += 1;
            }
            ("patternProperties", Value::Object(patterns)) => {
                self.count_patterns(patterns.len())?;
                size.text_checks += patterns.len() as u64;
            }
            ("minLength" | "maxLength", _) => size.text_checks += 1,
            _ => {}
        }
        Ok(size)
    }

    fn measure_named_schemas(
        &mut self,
        schemas: &'a Map<String, Value>,
        at: &str,
    ) -> Result<SchemaSize, SchemaBoundsError> {
        self.depth += 1;
        let mut size = SchemaSize::PART;
        for (name, schema) in schemas {
            size.add(self.measure(schema, &format!("{at}/{name}"))?)?;
        }
        self.depth -= 1;
        Ok(size)
    }

    fn measure_reference(
        &mut self,
        target: &str,
        at: &str,
    ) -> Result<SchemaSize, SchemaBoundsError> {
        let pointer = match target.strip_prefix('#') {
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => pointer,
            _ => {
                let target = crate::limits::truncate(target, 200).to_owned();
                return Err(SchemaBoundsError::Foreign(at.to_owned(), target));
            }
        };
        // The validator decodes it too. Otherwise it would follow the reference to another part than this.
        let pointer = percent_decode_str(pointer)
            .decode_utf8()
            .map_err(|_| SchemaBoundsError::Dangling(at.to_owned()))?
            .into_owned();
        match self.measured.get(&pointer) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(SchemaBoundsError::Cycle(at.to_owned())),
            None => {}
        }
        let part = self.find_schema(&pointer, at)?;
        self.measured.insert(pointer.clone(), None);
        let size = self.measure(part, &pointer)?;
        self.measured.insert(pointer, Some(size));
        Ok(size)
    }

    /// The schema that a pointer refers to. What is data in one place must not be a schema in another: it is not
    /// measured where it is data.
    fn find_schema(&self, pointer: &str, at: &str) -> Result<&'a Value, SchemaBoundsError> {
        let part = self.schema.pointer(pointer);
        let part = part.ok_or_else(|| SchemaBoundsError::Dangling(at.to_owned()))?;
        let mut container = self.schema;
        let mut role = ValueRole::Schema;
        for segment in pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            if container.is_object() {
                role = role.of_member(&name);
            }
            let member = container.pointer(&format!("/{segment}"));
            container = member.ok_or_else(|| SchemaBoundsError::Dangling(at.to_owned()))?;
        }
        if role == ValueRole::Schema {
            Ok(part)
        } else {
            Err(SchemaBoundsError::NotASchema(at.to_owned()))
        }
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
            json!({"enum": [{"$ref": "data, no reference"}], "const": {"$anchor": "data"}}),
            json!({"properties": {"$ref": {"type": "string"}}}),
            json!({"properties": {"$id": {}, "$anchor": {}, "default": {"type": "string"}, "enum": {"enum": [1]}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/default"}}, "$defs": {"default": {"type": "string"}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/x%20y"}}, "$defs": {"x y": {"type": "string"}}}),
            json!({"enum": (0..10_000).collect::<Vec<_>>()}),
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

    /// A schema that refers to the first of 16 definitions at `base`, each of which refers to the next one twice.
    fn doubling(base: &str) -> Value {
        let mut definitions = serde_json::Map::new();
        for step in 0..15 {
            let next = json!({"$ref": format!("{base}/$defs/{}", step + 1)});
            definitions.insert(step.to_string(), json!({"allOf": [next, next]}));
        }
        definitions.insert("15".to_owned(), json!({"type": "string"}));
        json!({"$ref": format!("{base}/$defs/0"), "$defs": definitions})
    }

    #[test]
    fn an_exponentially_growing_schema_is_refused() {
        assert_eq!(check(&doubling("#")), Err(SchemaBoundsError::Parts));
    }

    #[test]
    fn a_schema_is_measured_whatever_its_name_is() {
        for name in [
            "default", "const", "enum", "examples", "example", "$ref", "x",
        ] {
            for container in [
                "properties",
                "patternProperties",
                "dependentSchemas",
                "$defs",
                "definitions",
            ] {
                let schema = json!({container: {name: doubling(&format!("#/{container}/{name}"))}});
                assert_eq!(
                    check(&schema),
                    Err(SchemaBoundsError::Parts),
                    "{container}/{name}"
                );
            }
            // A name of a keyword within a keyword that is not known.
            let schema = json!({"x-parts": {"properties": {name: doubling(&format!("#/x-parts/properties/{name}"))}}});
            assert_eq!(check(&schema), Err(SchemaBoundsError::Parts), "{name}");
        }
    }

    #[test]
    fn data_is_no_target_of_references() {
        for keyword in ["default", "const", "enum", "examples", "example"] {
            let target = format!("#/{keyword}/$defs/0");
            let schema = json!({"$ref": target, keyword: doubling(&format!("#/{keyword}"))});
            assert_eq!(
                check(&schema),
                Err(SchemaBoundsError::NotASchema(String::new())),
                "{keyword}"
            );
        }
        for target in ["#/properties", "#/items/default/a", "#/items/examples/0"] {
            let schema = json!({"$ref": target, "properties": {}, "items": {"default": {"a": {}}, "examples": [{}]}});
            assert_eq!(
                check(&schema),
                Err(SchemaBoundsError::NotASchema(String::new())),
                "{target}"
            );
        }
    }

    /// The validator decodes `%61` to `a`, so the measured part must be that of `a` too.
    #[test]
    fn pointers_are_decoded() {
        let schema =
            json!({"$ref": "#/$defs/%61", "$defs": {"%61": {}, "a": doubling("#/$defs/a")}});
        assert_eq!(check(&schema), Err(SchemaBoundsError::Parts));
        let schema = json!({"$ref": "#/$defs/%61", "$defs": {"%61": {}}});
        assert_eq!(
            check(&schema),
            Err(SchemaBoundsError::Dangling(String::new()))
        );
    }

    /// Each level checks the levels below it twice: once to validate them, once to find out what they have evaluated.
    #[test]
    fn nested_unevaluated_keywords_multiply() {
        let nested = |levels: usize| {
            (0..levels).fold(
                json!({"properties": {"a": {}}}),
                |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}),
            )
        };
        assert_eq!(check(&nested(3)), Ok(()));
        assert_eq!(check(&nested(20)), Err(SchemaBoundsError::Parts));
        // In properties they check other values.
        let separate = (0..20).fold(
            json!({}),
            |inner, _| json!({"properties": {"a": inner}, "unevaluatedProperties": false}),
        );
        assert_eq!(check(&separate), Ok(()));
    }

    #[test]
    fn checks_of_texts_are_counted_once_for_each_reference() {
        let schema = json!({
            "patternProperties": {"^a": {"$ref": "#/$defs/x"}, "^b": {"$ref": "#/$defs/x"}},
            "$defs": {"x": {"pattern": "^a$", "maxLength": 3}}
        });
        let size = super::check(&schema).expect("the schema is within the bounds");
        assert_eq!(size.text_checks, 2 + 3 * 2);
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
