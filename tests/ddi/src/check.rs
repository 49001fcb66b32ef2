use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate_ddi_client::HttpResponse;

use crate::{placeholders::Placeholders, response::DecodeBody as _};

/// A condition on a response.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// One of these statuses.
    Status(Vec<u16>),
    Header(&'static str, String),
    Empty,
    Text(String),
    Bytes(usize),
    Json(&'static str, Value),
    Contains(&'static str, String),
    Has(&'static str),
    Lacks(&'static str),
    Length(&'static str, usize),
    Satisfies(&'static str, fn(&HttpResponse) -> Result<()>),
    /// The checks depend on whether the server has this known difference.
    Differs {
        difference: u8,
        standard: Vec<Check>,
        ours: Vec<Check>,
    },
}

/// Applies checks to responses.
pub(crate) struct ResponseChecker<'a> {
    pub(crate) placeholders: &'a Placeholders,
    /// Whether the server has a known difference.
    pub(crate) differs: &'a (dyn Fn(u8) -> bool + Sync),
    /// The known differences that were observed.
    pub(crate) differences: BTreeSet<u8>,
}

impl ResponseChecker<'_> {
    /// Fails if the response breaks one of the checks.
    pub(crate) fn verify(&mut self, checks: &[Check], response: &HttpResponse) -> Result<()> {
        for check in checks {
            if let Check::Differs {
                difference,
                standard,
                ours,
            } = check
            {
                let is_ours = (self.differs)(*difference);
                self.verify(if is_ours { ours } else { standard }, response)?;
                if is_ours {
                    self.differences.insert(*difference);
                }
            } else {
                check
                    .verify(response, self.placeholders)
                    .with_context(|| response.to_string())?;
            }
        }
        Ok(())
    }
}

impl Check {
    fn verify(&self, response: &HttpResponse, placeholders: &Placeholders) -> Result<()> {
        let at = |pointer: &str| -> Result<Option<Value>> {
            Ok(response
                .decode()?
                .pointer(&placeholders.fill(pointer))
                .cloned())
        };
        match self {
            Self::Status(expected) => {
                let expected = expected
                    .iter()
                    .map(u16::to_string)
                    .collect::<Vec<_>>()
                    .join(" or ");
                let found = response.status.as_str();
                ensure!(
                    expected.split(" or ").any(|one| one == found),
                    "expected status {expected}"
                );
            }
            Self::Header(name, value) => {
                let (value, found) = (placeholders.fill(value), response.header(name));
                ensure!(found == value, "{name} must be `{value}`, not `{found}`");
            }
            Self::Empty => ensure!(response.body.is_empty(), "the body must be empty"),
            Self::Text(text) => {
                let text = placeholders.fill(text);
                ensure!(response.text() == text, "the body must be `{text}`");
            }
            Self::Bytes(count) => {
                let found = response.body.len();
                ensure!(
                    found == *count,
                    "the body must have {count} bytes, not {found}"
                );
            }
            Self::Json(pointer, value) => {
                let (value, found) = (fill_value(value, placeholders), at(pointer)?);
                ensure!(
                    found.as_ref() == Some(&value),
                    "{pointer} must be {value}, not {found:?}"
                );
            }
            Self::Contains(pointer, part) => {
                let (part, found) = (placeholders.fill(part), at(pointer)?);
                let text = found.as_ref().and_then(Value::as_str).unwrap_or_default();
                ensure!(
                    text.contains(&part),
                    "{pointer} must contain `{part}`, but is {found:?}"
                );
            }
            Self::Has(pointer) => ensure!(at(pointer)?.is_some(), "{pointer} is missing"),
            Self::Lacks(pointer) => {
                let found = at(pointer)?;
                ensure!(
                    found.is_none(),
                    "{pointer} must be absent, but is {found:?}"
                );
            }
            Self::Length(pointer, length) => {
                let found = at(pointer)?;
                let count = found.as_ref().and_then(Value::as_array).map(Vec::len);
                ensure!(
                    count == Some(*length),
                    "{pointer} must have {length} items: {found:?}"
                );
            }
            Self::Satisfies(what, check) => check(response).with_context(|| (*what).to_owned())?,
            Self::Differs { .. } => {}
        }
        Ok(())
    }
}

/// Replaces the placeholders in a JSON value.
fn fill_value(value: &Value, placeholders: &Placeholders) -> Value {
    match value {
        Value::String(text) => placeholders.fill(text).into(),
        Value::Array(items) => items
            .iter()
            .map(|item| fill_value(item, placeholders))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};

    use super::*;
    use crate::case::{Case, DeviceState, Step};

    fn verify_case(case: &Case, differs: bool) -> Result<BTreeSet<u8>> {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = HttpResponse {
            request_line: "GET /".to_owned(),
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([json]),
            body: Bytes::from_static(br#"{"a": {"b": [1]}, "c": "x8"}"#),
        };
        let mut placeholders = Placeholders::default();
        placeholders.set("id", "8");
        let differs = move |_| differs;
        let mut verify = ResponseChecker {
            placeholders: &placeholders,
            differs: &differs,
            differences: BTreeSet::new(),
        };
        let Some(Step::Request(request)) = case.steps.first() else {
            unreachable!("the first step is a request");
        };
        verify.verify(&request.checks, &response)?;
        Ok(verify.differences)
    }

    fn answered() -> Case {
        Case::new("1", "a case", DeviceState::Unknown).get("")
    }

    #[test]
    fn every_check_must_hold() {
        let good = answered()
            .status(200)
            .has("/a/b")
            .length("/a/b", 1)
            .json("/c", "x{id}")
            .contains("/c", "{id}");
        assert!(verify_case(&good.lacks("/d"), false).is_ok());
        for bad in [
            answered().status(404),
            answered().status_in(&[201, 20]),
            answered().header("etag", "x"),
            answered().empty(),
            answered().text("{}"),
            answered().bytes(1),
            answered().json("/c", "x"),
            answered().contains("/a", "b"),
            answered().has("/d"),
            answered().lacks("/a"),
            answered().length("/a/b", 2),
            answered().satisfies("no", |_| anyhow::bail!("no")),
            answered().error(200, "x"),
        ] {
            assert!(verify_case(&bad, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn known_differences_are_enforced() {
        let case = answered().differs(2, |it| it.status(410), |it| it.status(200));
        assert_eq!(verify_case(&case, true).ok(), Some(BTreeSet::from([2])));
        assert!(verify_case(&case, false).is_err());
    }
}
