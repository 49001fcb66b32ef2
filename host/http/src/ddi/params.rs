use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::error::DdiError;
use crate::AppState;

/// Maximum number of messages of an update's history.
const MAX_HISTORY: u32 = 100;

/// Parses an id. A number out of range is not found; anything else is malformed.
pub(super) fn parse_id<T: FromStr>(text: &str) -> Result<T, DdiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DdiError::malformed(format!("`{text}` is not an id")));
    }
    text.parse().map_err(|_| DdiError::NotFound)
}

/// The query parameters of a request for an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeploymentQuery {
    /// Maximum number of history messages in the response.
    pub(super) history: u32,
}

impl FromRequestParts<AppState> for DeploymentQuery {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, DdiError> {
        Self::from_uri(&parts.uri)
    }
}

impl DeploymentQuery {
    fn from_uri(uri: &http::Uri) -> Result<Self, DdiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) = query.map_err(|error| DdiError::malformed(error.body_text()))?;
        // `c` only makes URLs differ, but must be a number.
        parse_number(&pairs, "c")?;
        let history = parse_number(&pairs, "actionHistory")?.unwrap_or(0);
        let history = u32::try_from(history).map_or(MAX_HISTORY, |count| count.min(MAX_HISTORY));
        Ok(Self { history })
    }
}

fn parse_number(pairs: &[(String, String)], name: &str) -> Result<Option<i32>, DdiError> {
    let pair = pairs.iter().find(|(key, _)| key == name);
    match pair.map(|(_, value)| value.as_str()) {
        None | Some("") => Ok(None),
        Some(value) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(DdiError::malformed(format!(
                "{name} is not a 32-bit integer"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_integers() {
        for (uri, expected) in [
            ("/x", Some(0)),
            ("/x?c=1", Some(0)),
            ("/x?c=-2147483648", Some(0)),
            ("/x?c=2147483648", None),
            ("/x?c=abc", None),
            ("/x?c=", Some(0)),
            ("/x?actionHistory=", Some(0)),
            ("/x?actionHistory=7&c=3", Some(7)),
            ("/x?actionHistory=100", Some(100)),
            ("/x?actionHistory=1000", Some(100)),
            ("/x?actionHistory=-1", Some(100)),
            ("/x?actionHistory=many", None),
            ("/x?other=1&other=2", Some(0)),
        ] {
            let params = DeploymentQuery::from_uri(&http::Uri::from_static(uri));
            assert_eq!(params.ok().map(|params| params.history), expected, "{uri}");
        }
    }

    #[test]
    fn ids_are_decimal_and_fit() {
        for (text, expected) in [
            ("8", Ok(8)),
            ("2147483647", Ok(i32::MAX)),
            ("2147483648", Err(404)),
            ("-1", Ok(-1)),
            ("+1", Err(400)),
            ("0x8", Err(400)),
            ("", Err(400)),
        ] {
            let id: Result<i32, _> = parse_id(text);
            let id = id.map_err(|error| match error {
                DdiError::NotFound => 404,
                _ => 400,
            });
            assert_eq!(id, expected, "{text}");
        }
    }
}
