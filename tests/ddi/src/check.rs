use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{answer::Answer, names::Names};

/// What must be true of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// One of these.
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
    That(&'static str, fn(&Answer) -> Result<()>),
    /// What must be true depends on whether the server is known to have this difference.
    Differs {
        difference: u8,
        standard: Vec<Check>,
        ours: Vec<Check>,
    },
}

/// What answers are judged by.
pub(crate) struct Judge<'a> {
    pub(crate) names: &'a Names,
    /// Whether the server has this difference.
    pub(crate) differs: &'a (dyn Fn(u8) -> bool + Sync),
    /// The differences that were met.
    pub(crate) met: BTreeSet<u8>,
}

impl Judge<'_> {
    /// Whether the answer is as all these checks want it.
    pub(crate) fn judge(&mut self, checks: &[Check], answer: &Answer) -> Result<()> {
        for check in checks {
            if let Check::Differs {
                difference,
                standard,
                ours,
            } = check
            {
                let is_ours = (self.differs)(*difference);
                self.judge(if is_ours { ours } else { standard }, answer)?;
                if is_ours {
                    self.met.insert(*difference);
                }
            } else {
                check
                    .judge(answer, self.names)
                    .with_context(|| answer.to_string())?;
            }
        }
        Ok(())
    }
}

impl Check {
    fn judge(&self, answer: &Answer, names: &Names) -> Result<()> {
        let at = |pointer: &str| -> Result<Option<Value>> {
            Ok(answer.json()?.pointer(&names.fill(pointer)).cloned())
        };
        match self {
            Self::Status(wanted) => {
                let wanted = wanted
                    .iter()
                    .map(u16::to_string)
                    .collect::<Vec<_>>()
                    .join(" or ");
                let found = answer.status.to_string();
                ensure!(
                    wanted.split(" or ").any(|one| one == found),
                    "status {wanted} was expected"
                );
            }
            Self::Header(name, value) => {
                let (value, found) = (names.fill(value), answer.header(name));
                ensure!(found == value, "{name} must be `{value}`, not `{found}`");
            }
            Self::Empty => ensure!(answer.body.is_empty(), "there must be no body"),
            Self::Text(text) => {
                let text = names.fill(text);
                ensure!(answer.text() == text, "the body must be `{text}`");
            }
            Self::Bytes(count) => {
                let found = answer.body.len();
                ensure!(
                    found == *count,
                    "the body must have {count} bytes, not {found}"
                );
            }
            Self::Json(pointer, value) => {
                let (value, found) = (filled(value, names), at(pointer)?);
                ensure!(
                    found.as_ref() == Some(&value),
                    "{pointer} must be {value}, not {found:?}"
                );
            }
            Self::Contains(pointer, part) => {
                let (part, found) = (names.fill(part), at(pointer)?);
                let text = found.as_ref().and_then(Value::as_str).unwrap_or_default();
                ensure!(
                    text.contains(&part),
                    "{pointer} must contain `{part}`, and is {found:?}"
                );
            }
            Self::Has(pointer) => ensure!(at(pointer)?.is_some(), "{pointer} must be there"),
            Self::Lacks(pointer) => {
                let found = at(pointer)?;
                ensure!(
                    found.is_none(),
                    "{pointer} must not be there, and is {found:?}"
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
            Self::That(what, check) => check(answer).with_context(|| (*what).to_owned())?,
            Self::Differs { .. } => {}
        }
        Ok(())
    }
}

/// A value with the names in its texts replaced.
fn filled(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => names.fill(text).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, names)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

    use super::*;
    use crate::case::{Case, Standing, Step};

    fn judged(case: &Case, differs: bool) -> Result<BTreeSet<u8>> {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = Answer {
            asked: "GET /".to_owned(),
            status: 200,
            headers: HeaderMap::from_iter([json]),
            body: Bytes::from_static(br#"{"a": {"b": [1]}, "c": "x8"}"#),
        };
        let mut names = Names::default();
        names.set("id", "8");
        let differs = move |_| differs;
        let mut judge = Judge {
            names: &names,
            differs: &differs,
            met: BTreeSet::new(),
        };
        let Some(Step::Request(request)) = case.steps.first() else {
            unreachable!("it is a request");
        };
        judge.judge(&request.checks, &answer)?;
        Ok(judge.met)
    }

    fn answered() -> Case {
        Case::new("1", "a case", Standing::Unknown).get("")
    }

    #[test]
    fn an_answer_is_what_all_checks_want() {
        let good = answered()
            .is(200)
            .has("/a/b")
            .length("/a/b", 1)
            .json("/c", "x{id}")
            .contains("/c", "{id}");
        assert!(judged(&good.lacks("/d"), false).is_ok());
        for bad in [
            answered().is(404),
            answered().one_of(&[201, 20]),
            answered().header("etag", "x"),
            answered().empty(),
            answered().text("{}"),
            answered().bytes(1),
            answered().json("/c", "x"),
            answered().contains("/a", "b"),
            answered().has("/d"),
            answered().lacks("/a"),
            answered().length("/a/b", 2),
            answered().that("no", |_| anyhow::bail!("no")),
            answered().error(200, "x"),
        ] {
            assert!(judged(&bad, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_server_is_held_to_what_it_is_known_for() {
        let case = answered().differs(2, |it| it.is(410), |it| it.is(200));
        assert_eq!(judged(&case, true).ok(), Some(BTreeSet::from([2])));
        assert!(judged(&case, false).is_err());
    }
}
