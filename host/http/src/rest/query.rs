//! Query parameters.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use tidegate_core::plugin::FieldError;
use tidegate_engine::ports::PageRequest;
use utoipa::IntoParams;

use super::extract::{Attempt, decode, decode_problem};
use crate::{
    AppState,
    problem::{Problem, Result},
};

/// Maximum page size.
const MAX_LIMIT: u32 = 500;
/// Default page size.
const DEFAULT_LIMIT: u32 = 50;

/// The page of a list, for lists without other parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// 1 to 500, 50 when left out.
    pub(crate) limit: Option<u32>,
    pub(crate) offset: Option<u64>,
}

/// Query parameters. Unknown parameters and invalid values are 422.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let Attempt { result, unknown } = decode(serde_urlencoded::Deserializer::new(pairs));
    let unknown: Vec<_> = unknown.iter().map(|path| parameter_name(path)).collect();
    match result {
        Ok(value) if unknown.is_empty() => Ok(value),
        Ok(_) => Err(decode_problem(Vec::new(), unknown, Vec::new())),
        Err((path, error)) => {
            let invalid = FieldError {
                path: parameter_name(&path),
                message: error.to_string(),
            };
            Err(decode_problem(vec![invalid], unknown, Vec::new()))
        }
    }
}

/// The name of the parameter at a JSON pointer.
fn parameter_name(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// The page for `limit` and `offset`; 422 if one is out of range.
pub(crate) fn page(limit: Option<u32>, offset: Option<u64>) -> Result<PageRequest> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field(
            "invalid_page",
            "limit",
            "must be between 1 and 500",
        ));
    }
    let offset = offset.unwrap_or(0);
    // The database counts with 64-bit signed integers.
    if i64::try_from(offset).is_err() {
        return Err(Problem::field(
            "invalid_page",
            "offset",
            "must be at most 9223372036854775807",
        ));
    }
    Ok(PageRequest { limit, offset })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct TestQuery {
        limit: Option<u32>,
        is_beta: Option<bool>,
        q: Option<String>,
    }

    #[test]
    fn parameters_are_read_or_refused() {
        let expected = TestQuery {
            limit: Some(7),
            is_beta: Some(true),
            q: Some("a==b c".to_owned()),
        };
        assert_eq!(
            parse::<TestQuery>("limit=7&is_beta=true&q=a%3D%3Db+c").ok(),
            Some(expected)
        );
        assert_eq!(parse::<TestQuery>("").ok(), Some(TestQuery::default()));
        for bad in [
            "limit=x",
            "limit=-1",
            "is_beta=maybe",
            "limits=7",
            "limit=1&limit=2",
        ] {
            assert!(parse::<TestQuery>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limit_and_offset_are_bounded() {
        assert_eq!(
            page(None, None),
            Ok(PageRequest {
                limit: 50,
                offset: 0
            })
        );
        assert!(page(Some(500), Some(7)).is_ok());
        assert!(page(Some(0), None).is_err());
        assert!(page(Some(501), None).is_err());
        assert!(page(None, Some(u64::MAX)).is_err());
    }
}
