//! Bodies of `PATCH`: merge patches (RFC 7396).

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema,
    openapi::{
        RefOr,
        schema::{Object, OneOfBuilder, Schema, SchemaType, Type},
    },
};

/// A field of a merge patch. It must also be `#[serde(default)]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Patch<T> {
    /// Left out: the value stays as it is.
    #[default]
    Keep,
    /// Null: the value is reset to its default.
    Clear,
    /// The new value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Clear, Self::Set))
    }
}

impl<T> Patch<T> {
    /// The new value of a field that may be absent; none if it stays as it is.
    #[expect(
        clippy::option_option,
        reason = "the engine takes the change of such a field in this form"
    )]
    pub(super) fn or_absent(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

impl<T: Default> Patch<T> {
    /// The new value, which is the default if the field is null; none if it stays as it is.
    pub(super) fn or_default(self) -> Option<T> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(T::default()),
            Self::Set(value) => Some(value),
        }
    }
}

/// Applies a merge patch: members that are null are removed, objects are merged, all other values are replaced.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, change) in patch {
        if change.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), change);
        }
    }
}

/// The schema of a merge patch for an object: no property is required, and null resets those that an object need not have.
pub(super) fn merge_patch_schema<T: PartialSchema>(description: &str) -> Object {
    let RefOr::T(Schema::Object(mut object)) = T::schema() else {
        return Object::default();
    };
    object.description = Some(description.to_owned());
    let required = std::mem::take(&mut object.required);
    for (name, property) in &mut object.properties {
        if !required.contains(name) {
            *property = nullable(property.clone());
        }
    }
    object
}

/// The schema for a value or null.
pub(super) fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = nullable_type(object.schema_type);
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = nullable_type(array.schema_type);
            array.into()
        }
        schema @ RefOr::Ref(_) => {
            let null = Object::with_type(Type::Null);
            OneOfBuilder::new().item(schema).item(null).into()
        }
        // What is one of several schemas can be null already.
        schema @ RefOr::T(_) => schema,
    }
}

fn nullable_type(kind: SchemaType) -> SchemaType {
    match kind {
        SchemaType::Type(kind) => SchemaType::Array(vec![kind, Type::Null]),
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_follow_rfc_7396() {
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (json!(["a"]), json!({"a": "b"}), json!({"a": "b"})),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, expected);
        }
    }
}
