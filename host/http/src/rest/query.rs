//! Query parameters.

use std::borrow::Cow;

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

/// Parses a query. An error names every parameter that is invalid or unknown.
fn parse<T: DeserializeOwned>(query: &str) -> Result<T> {
    let mut invalid: Vec<FieldError> = Vec::new();
    let mut valid = Cow::Borrowed(query);
    loop {
        let pairs = form_urlencoded::parse(valid.as_bytes());
        let Attempt { result, unknown } = decode(serde_urlencoded::Deserializer::new(pairs));
        let unknown: Vec<_> = unknown.iter().map(|path| parameter_name(path)).collect();
        let (path, error) = match result {
            Ok(value) if unknown.is_empty() && invalid.is_empty() => return Ok(value),
            Ok(_) => return Err(decode_problem(invalid, unknown, Vec::new())),
            Err(error) => error,
        };
        let name = parameter_name(&path);
        let rest = without(&valid, &name);
        invalid.push(FieldError {
            path: name,
            message: error.to_string(),
        });
        // A missing parameter cannot be left out.
        match rest {
            Some(rest) => valid = Cow::Owned(rest),
            None => return Err(decode_problem(invalid, unknown, Vec::new())),
        }
    }
}

/// The query without a parameter; none if it has no such parameter.
fn without(query: &str, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let (removed, kept): (Vec<_>, Vec<_>) = pairs.partition(|(known, _)| known == name);
    let mut rest = form_urlencoded::Serializer::new(String::new());
    rest.extend_pairs(kept);
    (!removed.is_empty()).then(|| rest.finish())
}

/// The name of the parameter at a JSON pointer.
fn parameter_name(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// The page for `limit` and `offset`; 422 that names each that is out of range.
pub(crate) fn page(limit: Option<u32>, offset: Option<u64>) -> Result<PageRequest> {
    let page = PageRequest {
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        offset: offset.unwrap_or(0),
    };
    let checks = [
        (
            "limit",
            (1..=MAX_LIMIT).contains(&page.limit),
            "must be between 1 and 500",
        ),
        // The database counts with 64-bit signed integers.
        (
            "offset",
            i64::try_from(page.offset).is_ok(),
            "must be at most 9223372036854775807",
        ),
    ];
    let broken = checks.into_iter().filter(|(_, holds, _)| !holds);
    let errors: Vec<_> = broken
        .map(|(name, _, message)| FieldError {
            path: name.to_owned(),
            message: message.to_owned(),
        })
        .collect();
    if errors.is_empty() {
        Ok(page)
    } else {
        Err(Problem::invalid("invalid_page", errors))
    }
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
    fn every_invalid_and_unknown_parameter_is_named() {
        let query = "limit=x&q=a&colour=red&is_beta=maybe&q=b&size=7";
        let problem = parse::<TestQuery>(query).expect_err("an error");
        let mut names = problem.field_paths();
        names.sort_unstable();
        assert_eq!(names, ["colour", "is_beta", "limit", "q", "size"]);
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
        let both = page(Some(0), Some(u64::MAX)).expect_err("an error");
        assert_eq!(both.field_paths(), ["limit", "offset"]);
    }
}
