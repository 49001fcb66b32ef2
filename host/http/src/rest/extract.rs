//! Extracting values from requests: ids in paths, and decoding of bodies and queries with errors that name every field.

use std::{fmt, marker::PhantomData, str::FromStr};

use axum::extract::{FromRequestParts, Path};
use http::{StatusCode, request::Parts};
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

/// Why a value could not be decoded.
pub(super) enum DecodeError<E> {
    /// A value is invalid or missing at `path`.
    Invalid { path: String, error: E },
    /// The value has unknown fields at these paths.
    UnknownFields(Vec<String>),
}

/// Decodes a value and rejects unknown fields. Paths are JSON pointers.
pub(super) fn decode<'de, T, D>(deserializer: D) -> Result<T, DecodeError<D::Error>>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let mut track = Track::new();
    let mut unknown = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(json_pointer(&path));
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    let result = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut ignored));
    match result {
        Err(error) => {
            let segments = track.path();
            let mut path = String::new();
            for name in segments.iter().filter_map(pointer_token) {
                path.push('/');
                path.push_str(&name);
            }
            if let Some(name) = missing_field(&error.to_string()) {
                path.push('/');
                path.push_str(&escape_token(name));
            }
            Err(DecodeError::Invalid { path, error })
        }
        Ok(_) if !unknown.is_empty() => Err(DecodeError::UnknownFields(unknown)),
        Ok(value) => Ok(value),
    }
}

/// 422 that names the unknown fields.
pub(super) fn unknown_fields(paths: Vec<String>) -> Problem {
    let names = paths.join(", ");
    let error = |path| FieldError {
        path,
        message: "unknown field".to_owned(),
    };
    let detail = format!("unknown fields: {names}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_field", detail)
        .with_errors(paths.into_iter().map(error).collect())
}

/// 422 that names the field with the invalid value.
pub(super) fn invalid_value(path: String, message: String) -> Problem {
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong_type",
        format!("{prefix}{message}"),
    )
    .with_errors(vec![FieldError { path, message }])
}

/// The name of the missing field in an error message: serde does not report it in any other way.
fn missing_field(error: &str) -> Option<&str> {
    let (name, _) = error.strip_prefix("missing field `")?.split_once('`')?;
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
fn escape_token(key: &str) -> String {
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
