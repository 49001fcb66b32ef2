//! Query parameters.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use tidegate_core::plugin::FieldError;
use tidegate_engine::ports::PageRequest;
use utoipa::IntoParams;

use super::extract::{DecodeAttempt, decode, decode_problem};
use crate::{
    AppState,
    problem::{Problem, Result},
};

/// Maximum page size.
pub(super) const MAX_LIMIT: u32 = 500;
/// Default page size.
pub(super) const DEFAULT_LIMIT: u32 = 50;

/// The page of a list, for lists without other parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// 1 to 500, 50 when left out.
    pub(crate) limit: Option<u32>,
    pub(crate) offset: Option<u64>,
}

/// The parameters of an operation as they are sent, with their rules.
pub(crate) trait Query: DeserializeOwned {
    /// What the handler gets.
    type Params;

    /// Converts the parameters. The problem names every parameter that breaks a rule; [`both`] combines the problems
    /// of several parameters.
    fn check(self) -> Result<Self::Params>;
}

impl Query for PageQuery {
    type Params = PageRequest;

    fn check(self) -> Result<PageRequest> {
        page(self.limit, self.offset)
    }
}

/// Checked query parameters. Unknown parameters and invalid values are 422.
pub(crate) struct QueryParams<T: Query>(pub(crate) T::Params);

impl<T: Query> FromRequestParts<AppState> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self> {
        parse::<T>(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Parses and checks a query. An error names every parameter that is invalid, is unknown or breaks a rule.
fn parse<T: Query>(query: &str) -> Result<T::Params> {
    let mut invalid: Vec<FieldError> = Vec::new();
    let mut valid = Cow::Borrowed(query);
    loop {
        let pairs = form_urlencoded::parse(valid.as_bytes());
        let DecodeAttempt { result, unknown } =
            decode::<T, _>(serde_urlencoded::Deserializer::new(pairs));
        let unknown: Vec<_> = unknown.iter().map(|path| parameter_name(path)).collect();
        let (path, error) = match result {
            Ok(query) if unknown.is_empty() && invalid.is_empty() => return query.check(),
            // Invalid parameters were left out, so the rules concern the others.
            Ok(query) => {
                let rules = query.check().err().map(Problem::into_errors);
                return Err(decode_problem(invalid, unknown, rules.unwrap_or_default()));
            }
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

/// Both values, or one problem with the errors of both.
pub(crate) fn both<A, B>(first: Result<A>, second: Result<B>) -> Result<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) => Err(first.and(second)),
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => Err(problem),
    }
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

    impl Query for TestQuery {
        type Params = Self;

        fn check(self) -> Result<Self> {
            let is_empty = self.q.as_deref() == Some("");
            let q = if is_empty {
                Err(Problem::field("invalid_q", "q", "must not be empty"))
            } else {
                Ok(())
            };
            both(page(self.limit, None), q).map(|_| self)
        }
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
    fn broken_rules_are_named_with_the_other_errors() {
        for (query, expected) in [
            ("limit=0&colour=red", vec!["colour", "limit"]),
            ("limit=0&is_beta=maybe&q=", vec!["is_beta", "limit", "q"]),
            ("limit=0&q=", vec!["limit", "q"]),
            // The rules of an invalid parameter are not checked.
            ("limit=x&q=", vec!["limit", "q"]),
        ] {
            let problem = parse::<TestQuery>(query).expect_err("an error");
            let mut names = problem.field_paths();
            names.sort_unstable();
            assert_eq!(names, expected, "{query}");
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
        let both = page(Some(0), Some(u64::MAX)).expect_err("an error");
        assert_eq!(both.field_paths(), ["limit", "offset"]);
    }
}
