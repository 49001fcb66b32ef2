//! Extracting values from requests: ids in paths, and decoding of bodies and queries with errors that name every field.

use std::{fmt, marker::PhantomData, str::FromStr};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::{Segment, Track};
use tidegate_core::plugin::FieldError;
use tidegate_engine::Error;

use crate::{
    AppState,
    problem::{Problem, Result},
};

/// The parameters of a path, as text. A path that cannot be decoded is 404.
pub(crate) struct PathParams<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Problem::no_route()),
        }
    }
}

/// Parses an id from a path. A malformed id identifies nothing, so it is 404.
pub(crate) fn parse_id<T: FromStr>(what: &'static str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| Error::not_found(what, text).into())
}

/// The result of decoding a value once. Paths are JSON pointers.
pub(super) struct DecodeAttempt<T, E> {
    /// The value, or the first error with the path of the field that is invalid or missing.
    pub(super) result: Result<T, (String, E)>,
    /// The unknown fields, as far as the value was decoded.
    pub(super) unknown: Vec<String>,
}

/// Decodes a value.
pub(super) fn decode<'de, T, D>(deserializer: D) -> DecodeAttempt<T, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let mut track = Track::new();
    let mut unknown = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(json_pointer(&path));
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    let result = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut ignored));
    let result = result.map_err(|error| {
        let segments = track.path();
        let mut path = String::new();
        for name in segments.iter().filter_map(pointer_token) {
            path.push('/');
            path.push_str(&name);
        }
        if let Some(name) = named_field(&error.to_string()) {
            path.push('/');
            path.push_str(&escape_token(name));
        }
        (path, error)
    });
    DecodeAttempt { result, unknown }
}

/// 422 that names all fields that cannot be decoded, are unknown or break a rule. The code is that of the first kind.
pub(super) fn decode_problem(
    invalid: Vec<FieldError>,
    unknown: Vec<String>,
    rules: Vec<FieldError>,
) -> Problem {
    let code = if invalid.is_empty() {
        "unknown_field"
    } else {
        "wrong_type"
    };
    let unknown = unknown.into_iter().map(|path| FieldError {
        path,
        message: "unknown field".to_owned(),
    });
    let errors = invalid.into_iter().chain(unknown).chain(rules);
    Problem::invalid(code, errors.collect())
}

/// The name of the missing or repeated field in an error message: serde does not report it in any other way.
fn named_field(error: &str) -> Option<&str> {
    let rest = error
        .strip_prefix("missing field `")
        .or_else(|| error.strip_prefix("duplicate field `"))?;
    let (name, _) = rest.split_once('`')?;
    Some(name)
}

fn pointer_token(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escape_token(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn json_pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", json_pointer(parent)),
        Path::Map { parent, key } => format!("{}/{}", json_pointer(parent), escape_token(key)),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => json_pointer(parent),
    }
}

/// Escapes a reference token of a JSON pointer (RFC 6901).
pub(super) fn escape_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Deserializes an object or null. Plain deserialization would also accept an array of the object's members in order.
pub(crate) fn object_or_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object or null")
        }

        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    deserializer.deserialize_any(Object(PhantomData))
}
