//! JSON bodies.

use axum::{
    body::Body as HttpBody,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeSeed as _;
use serde_json::Value;
use tidegate_core::plugin::FieldError;
use tidegate_engine::Ctx;

use super::{
    access::authenticated,
    extract::decode_problem,
    handler_timeout::TIMEOUT_STATUS,
    json_reader::{JsonPath, JsonReader},
    rules::{BodyRules, RuleContext, discard_consequences},
    size_limit::SizeLimit,
};
use crate::{
    AppState, body_timeout,
    problem::{Problem, Result},
};

/// A JSON body. Malformed JSON is 400, a body that does not match the type 422, one that is too large 413, another
/// media type 415.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: BodyRules> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        if !is_json(request.headers()) {
            return Err(unsupported_media_type("application/json"));
        }
        let ctx = authenticated(request.extensions());
        let body = read_body(
            request.into_body(),
            SizeLimit::fixed(state.settings.max_json_bytes),
        )
        .await?;
        parse(&body, &context(state, ctx.as_ref())).await.map(Self)
    }
}

/// An optional JSON body: a missing or empty one is the default value.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: BodyRules + Default> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        let is_json = is_json(request.headers());
        let ctx = authenticated(request.extensions());
        let body = read_body(
            request.into_body(),
            SizeLimit::fixed(state.settings.max_json_bytes),
        )
        .await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(unsupported_media_type("application/json"));
        }
        parse(&body, &context(state, ctx.as_ref())).await.map(Self)
    }
}

fn context<'a>(state: &'a AppState, ctx: Option<&'a Ctx>) -> RuleContext<'a> {
    RuleContext {
        engine: &state.engine,
        ctx,
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

/// Parses a JSON object. If it has errors, its rules are checked too.
pub(super) async fn parse<T: BodyRules>(text: &[u8], context: &RuleContext<'_>) -> Result<T> {
    let (json, mut invalid) = parse_object(text)?;
    let decoded = T::from_json(&json);
    invalid.extend(decoded.invalid);
    decode_body(decoded.value, invalid, decoded.unknown, context).await
}

/// Decodes a parsed JSON object. If it has errors, its rules are checked too.
pub(super) async fn from_value<T: BodyRules>(json: &Value, context: &RuleContext<'_>) -> Result<T> {
    let decoded = T::from_json(json);
    decode_body(decoded.value, decoded.invalid, decoded.unknown, context).await
}

/// Returns the body, or a problem with all of its errors.
async fn decode_body<T: BodyRules>(
    body: Option<T>,
    invalid: Vec<FieldError>,
    unknown: Vec<String>,
    context: &RuleContext<'_>,
) -> Result<T> {
    let is_valid = invalid.is_empty() && unknown.is_empty();
    let mut rules = match body {
        Some(body) if is_valid => return Ok(body),
        Some(body) => body.broken_rules(context).await?,
        None => Vec::new(),
    };
    discard_consequences::<T>(&mut rules, &invalid);
    Err(decode_problem(invalid, unknown, rules))
}

/// Parses a JSON object. Members that are given twice are errors.
fn parse_object(text: &[u8]) -> Result<(Value, Vec<FieldError>)> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let reader = JsonReader {
        path: &JsonPath::Root,
        repeated: &mut repeated,
    };
    let json = reader
        .deserialize(&mut deserializer)
        .map_err(|error| malformed(&error))?;
    deserializer.end().map_err(|error| malformed(&error))?;
    if !json.is_object() {
        let error = FieldError {
            path: String::new(),
            message: "the body must be a JSON object".to_owned(),
        };
        return Err(Problem::invalid("wrong_type", vec![error]));
    }
    Ok((json, repeated))
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
pub(super) async fn read_body(body: HttpBody, limit: SizeLimit) -> Result<Bytes> {
    let body = Limited::new(body, limit.bytes).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                return limit.exceeded();
            }
            if body_timeout::is_timeout(&*error) {
                let detail = "the client sent nothing of the body for too long";
                return Problem::new(TIMEOUT_STATUS, "too_slow", detail);
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
    use crate::rest::from_json::FromJson as _;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct TestBody {
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

    /// The status and the body of the problem of a [`TestBody`].
    async fn refusal(text: &str) -> (u16, serde_json::Value) {
        let problem = match parse_object(text.as_bytes()) {
            Err(problem) => problem,
            Ok((json, mut invalid)) => {
                let decoded = TestBody::from_json(&json);
                invalid.extend(decoded.invalid);
                decode_problem(invalid, decoded.unknown, Vec::new())
            }
        };
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
        assert_eq!(fields[0]["field"], "/inner/0/si~1ze");
        assert_eq!(fields[1]["field"], "/nmae");
    }

    #[tokio::test]
    async fn a_wrong_type_is_named_by_its_path() {
        for (text, field) in [
            (r#"{"name": 7}"#, "/name"),
            (r#"{"name": "a", "inner": [{"size": -1}]}"#, "/inner/0/size"),
            (r#"{"name": "a", "free": {"x": 300}}"#, "/free/x"),
            ("{}", "/name"),
            (r#"{"name": "a", "inner": [{}]}"#, "/inner/0/size"),
            (r#"{"name": "a", "free": {"x": 1, "x": 2}}"#, "/free/x"),
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
