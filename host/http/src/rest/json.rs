//! JSON bodies.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::extract::{DecodeError, decode, invalid_value, unknown_fields};
use crate::{
    AppState,
    problem::{Problem, Result},
};

/// A JSON body. Malformed JSON is 400, a body that does not match the type 422, one that is too large 413, another
/// media type 415.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(unsupported_media_type("application/json"));
        }
        let body = read_body(request.into_body(), state.settings.max_json_bytes).await?;
        parse(&body).map(Self)
    }
}

/// An optional JSON body: a missing or empty one is the default value.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        let is_json = is_json(request.headers());
        let body = read_body(request.into_body(), state.settings.max_json_bytes).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(unsupported_media_type("application/json"));
        }
        parse(&body).map(Self)
    }
}

/// 415.
pub(super) fn unsupported_media_type(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("send the body as {expected}"),
    )
}

/// 413.
pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// Parses a JSON object.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // Malformed JSON is reported as such, even if a value before the syntax error is invalid.
    serde_json::from_slice::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(invalid_value(
            String::new(),
            "the body must be a JSON object".to_owned(),
        ));
    }
    decode(&mut serde_json::Deserializer::from_slice(text)).map_err(|error| match error {
        DecodeError::UnknownFields(paths) => unknown_fields(paths),
        DecodeError::Invalid { path, error } => match error.classify() {
            Category::Data => invalid_value(path, strip_position(&error)),
            Category::Syntax | Category::Eof | Category::Io => malformed(&error),
        },
    })
}

/// Decodes a parsed JSON value.
pub(super) fn from_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T> {
    decode(value).map_err(|error| match error {
        DecodeError::UnknownFields(paths) => unknown_fields(paths),
        DecodeError::Invalid { path, error } => invalid_value(path, error.to_string()),
    })
}

/// The message of an error without the line and column: the path of the field is enough.
fn strip_position(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
}

fn malformed(error: &serde_json::Error) -> Problem {
    let detail = format!("the body is not valid JSON: {error}");
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mime = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.parse::<mime::Mime>().ok());
    mime.is_some_and(|mime| {
        let subtype = mime.essence_str().strip_prefix("application/");
        matches!(subtype, Some("json" | "merge-patch+json"))
    })
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes> {
    let body = Limited::new(body, limit).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                return too_large(limit);
            }
            Problem::new(
                StatusCode::BAD_REQUEST,
                "broken_body",
                "the body ended unexpectedly",
            )
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::response::IntoResponse as _;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct Body {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        free: BTreeMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct Inner {
        size: u32,
    }

    async fn refusal(text: &str) -> (u16, serde_json::Value) {
        let problem = parse::<Body>(text.as_bytes()).expect_err("an error");
        let response = problem.into_response();
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn every_unknown_field_is_named() {
        let text =
            r#"{"name": "a", "nmae": 1, "inner": [{"size": 1, "si/ze": 2}], "free": {"x": 1}}"#;
        let (status, body) = refusal(text).await;
        assert_eq!((status, &body["code"]), (422, &"unknown_field".into()));
        let fields: Vec<_> = body["errors"].as_array().into_iter().flatten().collect();
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0]["field"], "/nmae");
        assert_eq!(fields[1]["field"], "/inner/0/si~1ze");
    }

    #[tokio::test]
    async fn a_wrong_type_is_named_by_its_path() {
        for (text, field) in [
            (r#"{"name": 7}"#, "/name"),
            (r#"{"name": "a", "inner": [{"size": -1}]}"#, "/inner/0/size"),
            (r#"{"name": "a", "free": {"x": 300}}"#, "/free/x"),
            ("{}", "/name"),
            (r#"{"name": "a", "inner": [{}]}"#, "/inner/0/size"),
            ("[]", ""),
            ("null", ""),
        ] {
            let (status, body) = refusal(text).await;
            let error = &body["errors"][0];
            assert_eq!((status, &error["field"]), (422, &field.into()), "{text}");
            assert!(!error.to_string().contains("column"), "{error}");
        }
    }

    #[tokio::test]
    async fn text_that_is_not_json_is_malformed() {
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "{",
            r#"{"name": "a"} x"#,
            "\u{feff}{}",
            r#"{"name": "\ud800"}"#,
            &deep,
        ] {
            let (status, body) = refusal(text).await;
            assert_eq!(
                (status, &body["code"]),
                (400, &"malformed_json".into()),
                "{text:.40}"
            );
        }
    }
}
