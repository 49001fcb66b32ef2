//! Reading what was sent into a type, so that everything wrong with it is named.

use http::StatusCode;
use serde::de::{DeserializeOwned, Deserializer};
use serde_path_to_error::{Segment, Track};
use tidegate_core::plugin::FieldError;

use crate::problem::Problem;

/// Why something sent is not what was expected.
pub(super) enum Flaw<E> {
    /// It cannot be read; the path says where.
    Unreadable { path: String, error: E },
    /// It has fields that nobody knows: their paths.
    UnknownFields(Vec<String>),
}

/// Reads a type. Paths are JSON pointers.
pub(super) fn decode<'de, T, D>(deserializer: D) -> Result<T, Flaw<D::Error>>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let mut track = Track::new();
    let mut unknown = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(pointer(&path));
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    let read = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut ignored));
    match read {
        Err(error) => {
            let segments = track.path();
            let mut path = String::new();
            for name in segments.iter().filter_map(segment) {
                path.push('/');
                path.push_str(&name);
            }
            if let Some(name) = missing(&error.to_string()) {
                path.push('/');
                path.push_str(&escape(name));
            }
            Err(Flaw::Unreadable { path, error })
        }
        Ok(_) if !unknown.is_empty() => Err(Flaw::UnknownFields(unknown)),
        Ok(value) => Ok(value),
    }
}

/// 422 that names the fields that nobody knows.
pub(super) fn unknown_fields(paths: Vec<String>) -> Problem {
    let names = paths.join(", ");
    let error = |path| FieldError {
        path,
        message: "there is no such field".to_owned(),
    };
    let detail = format!("unknown: {names}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_field", detail)
        .with_errors(paths.into_iter().map(error).collect())
}

/// 422 that names the field whose value is no such value.
pub(super) fn wrong_value(path: String, message: String) -> Problem {
    let place = if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong_type",
        format!("{place}{message}"),
    )
    .with_errors(vec![FieldError { path, message }])
}

/// The field that an error says is missing: serde has no other way to tell.
fn missing(error: &str) -> Option<&str> {
    let (name, _) = error.strip_prefix("missing field `")?.split_once('`')?;
    Some(name)
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escape(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", pointer(parent)),
        Path::Map { parent, key } => format!("{}/{}", pointer(parent), escape(key)),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => pointer(parent),
    }
}

/// As RFC 6901 has it.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
