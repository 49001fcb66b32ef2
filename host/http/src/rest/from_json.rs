//! Decoding of JSON bodies. All errors of a body are found, not only the first one.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate_core::plugin::FieldError;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, schema::Schema},
};

use super::extract::{DecodeAttempt, decode};

/// Maximum number of errors that are reported for one body. It bounds the time for decoding.
const MAX_ERRORS: usize = 20;
/// Maximum number of times that a body is decoded.
const MAX_ATTEMPTS: usize = 60;

/// A type that a request body is decoded to. Types that serde can deserialize are such types.
pub(crate) trait FromJson: Sized {
    /// Decodes a JSON object.
    fn from_json(json: &Value) -> DecodeResult<Self>;
}

/// The result of decoding. Paths are JSON pointers.
#[derive(Debug)]
pub(crate) struct DecodeResult<T> {
    /// The value. Fields that could not be decoded have placeholders, which [`Self::invalid`] names. `None`: there is
    /// no placeholder for some field.
    pub(crate) value: Option<T>,
    /// The fields that are missing or have a value of the wrong type.
    pub(crate) invalid: Vec<FieldError>,
    /// The fields that the type does not have.
    pub(crate) unknown: Vec<String>,
}

impl<T: DeserializeOwned> FromJson for T {
    fn from_json(json: &Value) -> DecodeResult<Self> {
        let mut invalid: Vec<FieldError> = Vec::new();
        let mut repair: Option<Repair> = None;
        loop {
            let current = repair.as_ref().map_or(json, |repair| &repair.json);
            let DecodeAttempt { result, unknown } = decode(current);
            let (path, message) = match result {
                Ok(value) => {
                    let value = Some(value);
                    return DecodeResult::new(value, invalid, unknown);
                }
                Err((path, error)) => (path, error.to_string()),
            };
            let is_known = invalid.iter().any(|known| is_below(&path, &known.path));
            let can_continue = repair
                .get_or_insert_with(|| Repair::new(json))
                .replace(&path);
            if !is_known {
                invalid.push(FieldError { path, message });
            }
            if !can_continue || invalid.len() == MAX_ERRORS {
                return DecodeResult::new(None, invalid, unknown);
            }
        }
    }
}

impl<T> DecodeResult<T> {
    fn new(value: Option<T>, invalid: Vec<FieldError>, mut unknown: Vec<String>) -> Self {
        // The fields of a value that is invalid as a whole may be named because of its placeholder only.
        unknown.retain(|path| !invalid.iter().any(|error| is_below(path, &error.path)));
        Self {
            value,
            invalid,
            unknown,
        }
    }

    /// Changes the value.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> DecodeResult<U> {
        DecodeResult {
            value: self.value.map(change),
            invalid: self.invalid,
            unknown: self.unknown,
        }
    }

    /// Prepends `root` to all paths.
    pub(crate) fn below(mut self, root: &str) -> Self {
        for error in &mut self.invalid {
            error.path.insert_str(0, root);
        }
        for path in &mut self.unknown {
            path.insert_str(0, root);
        }
        self
    }

    /// Combines two values that were decoded from different objects.
    pub(crate) fn and<U>(mut self, other: DecodeResult<U>) -> DecodeResult<(T, U)> {
        self.invalid.extend(other.invalid);
        self.unknown.extend(other.unknown);
        DecodeResult {
            value: self.value.zip(other.value),
            invalid: self.invalid,
            unknown: self.unknown,
        }
    }

    /// Combines two values that were decoded from the same object. A field is unknown if neither of them has it.
    fn merge<U>(self, other: DecodeResult<U>) -> DecodeResult<(T, U)> {
        let ignores = |list: &[String], path: &str| list.iter().any(|root| is_below(path, root));
        let mut unknown: Vec<_> = self
            .unknown
            .iter()
            .filter(|path| ignores(&other.unknown, path))
            .cloned()
            .collect();
        for path in &other.unknown {
            if ignores(&self.unknown, path) && !unknown.contains(path) {
                unknown.push(path.clone());
            }
        }
        let mut invalid = self.invalid;
        invalid.extend(other.invalid);
        DecodeResult {
            value: self.value.zip(other.value),
            invalid,
            unknown,
        }
    }
}

/// Whether `path` is the field at `root` or a part of it.
pub(crate) fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One JSON object as two types, each of which has some of its fields.
///
/// serde's `flatten` would not name unknown fields, nor the paths of invalid ones.
#[derive(Debug, Default)]
pub(crate) struct BodyPair<A, B>(pub(crate) A, pub(crate) B);

impl<A: FromJson, B: FromJson> FromJson for BodyPair<A, B> {
    fn from_json(json: &Value) -> DecodeResult<Self> {
        let merged = A::from_json(json).merge(B::from_json(json));
        merged.map(|(first, second)| Self(first, second))
    }
}

/// The schema of the first type, with the properties of the second one.
impl<A: PartialSchema, B: PartialSchema> PartialSchema for BodyPair<A, B> {
    fn schema() -> RefOr<Schema> {
        let mut schema = A::schema();
        if let (RefOr::T(Schema::Object(first)), RefOr::T(Schema::Object(second))) =
            (&mut schema, B::schema())
        {
            first.properties.extend(second.properties);
            first.required.extend(second.required);
        }
        schema
    }
}

impl<A: ToSchema, B: ToSchema> ToSchema for BodyPair<A, B> {
    fn name() -> std::borrow::Cow<'static, str> {
        A::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        A::schemas(schemas);
        B::schemas(schemas);
    }
}

/// An object whose invalid fields are replaced one after the other, until it can be decoded.
struct Repair {
    json: Value,
    /// The number of placeholders that each field has had.
    tried: BTreeMap<String, usize>,
    attempts: usize,
}

impl Repair {
    fn new(json: &Value) -> Self {
        Self {
            json: json.clone(),
            tried: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// Removes the field at `path`; if it is required, gives it a placeholder; if none fits, repairs its parent. False:
    /// the object cannot be repaired.
    fn replace(&mut self, path: &str) -> bool {
        let placeholders = [json!(""), json!(0), json!(false), json!([]), json!({})];
        let mut path = path;
        self.attempts += 1;
        while self.attempts < MAX_ATTEMPTS
            && let Some((parent_path, token)) = path.rsplit_once('/')
        {
            let tried = self.tried.entry(path.to_owned()).or_default();
            let key = token.replace("~1", "/").replace("~0", "~");
            match self.json.pointer_mut(parent_path) {
                Some(Value::Object(parent)) => {
                    if *tried == 0 && parent.remove(&key).is_some() {
                        *tried = 1;
                        return true;
                    }
                    if let Some(placeholder) = placeholders.get(tried.saturating_sub(1)) {
                        *tried = (*tried).max(1) + 1;
                        parent.insert(key, placeholder.clone());
                        return true;
                    }
                }
                // Removing an element would change the paths of the others.
                Some(Value::Array(parent)) => {
                    let element = key
                        .parse()
                        .ok()
                        .and_then(|index: usize| parent.get_mut(index));
                    if let (Some(element), Some(placeholder)) = (element, placeholders.get(*tried))
                    {
                        *tried += 1;
                        *element = placeholder.clone();
                        return true;
                    }
                }
                _ => {}
            }
            path = parent_path;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
    }

    #[derive(Debug, Deserialize)]
    struct OwnFields {
        name: String,
        size: u32,
        colour: Option<Colour>,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct Part {
        weight: f64,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct SharedFields {
        note: Option<String>,
        part: Option<Part>,
    }

    fn paths<T>(decoded: &DecodeResult<T>) -> (Vec<&str>, Vec<&str>) {
        let invalid = decoded.invalid.iter().map(|error| &*error.path).collect();
        (
            invalid,
            decoded.unknown.iter().map(|path| &**path).collect(),
        )
    }

    #[test]
    fn all_invalid_and_unknown_fields_are_named() {
        let body = json!({
            "name": 7, "colour": "blue", "x": 1,
            "parts": [{"weight": 1}, {"weight": "a"}, {}, {"weight": 2, "si/ze": 3}],
        });
        let decoded = OwnFields::from_json(&body);
        let invalid = vec![
            "/colour",
            "/name",
            "/parts/1/weight",
            "/parts/2/weight",
            "/size",
        ];
        assert_eq!(paths(&decoded), (invalid, vec!["/parts/3/si~1ze", "/x"]));
        let value = decoded.value.expect("a value with placeholders");
        assert_eq!((value.name.as_str(), value.size), ("", 0));
        assert!(value.colour.is_none());
    }

    #[test]
    fn the_values_of_a_valid_body_are_kept() {
        let body = json!({"name": "a", "size": 1, "colour": "red", "parts": [{"weight": 0.5}]});
        let decoded = OwnFields::from_json(&body);
        assert_eq!(paths(&decoded), (vec![], vec![]));
        let value = decoded.value.expect("a value");
        assert_eq!((value.size, value.parts.len()), (1, 1));
    }

    #[test]
    fn a_body_with_many_errors_is_given_up() {
        let parts: Vec<_> = (0..1000).map(|_| json!({"weight": "a"})).collect();
        let decoded = OwnFields::from_json(&json!({"name": "a", "size": 1, "parts": parts}));
        assert_eq!(decoded.invalid.len(), MAX_ERRORS);
        assert!(decoded.value.is_none());
    }

    #[test]
    fn a_field_of_merged_types_is_unknown_if_neither_has_it() {
        let body = json!({
            "name": "a", "size": "b", "note": 1, "x": 1,
            "part": {"weight": 1, "y": 1}, "parts": [{"weight": 1, "z": 1}],
        });
        let decoded = BodyPair::<OwnFields, SharedFields>::from_json(&body);
        let unknown = vec!["/parts/0/z", "/x", "/part/y"];
        assert_eq!(paths(&decoded), (vec!["/size", "/note"], unknown));
    }

    #[test]
    fn merged_types_have_one_schema() {
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "documentation only")]
        struct First {
            name: String,
        }
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "documentation only")]
        struct Second {
            note: Option<String>,
        }
        let schema = serde_json::to_value(BodyPair::<First, Second>::schema()).expect("JSON");
        assert_eq!(BodyPair::<First, Second>::name(), "First");
        assert_eq!(schema["required"], json!(["name"]));
        assert!(schema["properties"]["note"].is_object());
    }
}
