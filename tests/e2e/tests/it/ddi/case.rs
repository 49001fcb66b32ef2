//! Cases as data: a device in some state, requests, and what each must be answered.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::Value;
use tidegate_e2e::Answer;

use super::names::Names;

/// Where the device of a case stands when the case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has ever heard of it.
    Unknown,
    /// Has polled.
    Known,
    /// Has polled and said what it is.
    Introduced,
    /// Is offered an update, and has not looked at it.
    Offered,
    /// Has fetched the update's description and said that it proceeds.
    Busy,
    /// Has closed its update with success.
    Done,
    /// Has closed its update with failure.
    Failed,
    /// Its update, which it was busy with, is called back.
    CalledBack,
    /// Has agreed to that.
    Cancelled,
}

impl Standing {
    /// Whether such a device has, or had, an update.
    pub(super) fn has_update(self) -> bool {
        !matches!(self, Self::Unknown | Self::Known | Self::Introduced)
    }

    /// Whether that update is, or was, called back.
    pub(super) fn is_called_back(self) -> bool {
        matches!(self, Self::CalledBack | Self::Cancelled)
    }
}

/// One case. Texts may hold `{names}`, see [`Names`].
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) standing: Standing,
    pub(super) steps: Vec<Step>,
}

/// One request, and what it must be answered.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) method: Method,
    /// Below the device's own address; one that starts with `/` is the server's, one with `http` is whole.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    /// Whether the device shows its credentials.
    pub(super) is_authorized: bool,
    pub(super) body: Option<Vec<u8>>,
    checks: Vec<Check>,
}

#[derive(Debug, Clone)]
enum Check {
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
}

/// A case about a device of this standing.
pub(super) fn case(name: &str, standing: Standing) -> Case {
    Case {
        name: name.to_owned(),
        standing,
        steps: Vec::new(),
    }
}

impl Case {
    fn step(mut self, method: Method, path: &str) -> Self {
        self.steps.push(Step {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            is_authorized: true,
            body: None,
            checks: Vec::new(),
        });
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Step)) -> Self {
        change(self.steps.last_mut().expect("a case begins with a request"));
        self
    }

    fn check(self, check: Check) -> Self {
        self.last(|step| step.checks.push(check))
    }

    /// Then it reads this.
    pub(super) fn get(self, path: &str) -> Self {
        self.step(Method::GET, path)
    }

    /// Then it asks for the head of this.
    pub(super) fn head(self, path: &str) -> Self {
        self.step(Method::HEAD, path)
    }

    /// Then it sends something in any way.
    pub(super) fn send(self, method: Method, path: &str) -> Self {
        self.step(method, path)
    }

    /// Then it sends JSON text.
    pub(super) fn post(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::POST, path).json_body(body)
    }

    /// Then it puts JSON text.
    pub(super) fn put(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::PUT, path).json_body(body)
    }

    fn json_body(self, body: impl Into<String>) -> Self {
        self.body(body.into().into_bytes())
            .with("Content-Type", "application/json")
    }

    /// With these bytes.
    pub(super) fn body(self, body: Vec<u8>) -> Self {
        self.last(|step| step.body = Some(body))
    }

    /// With this header field in place of one of the same name.
    pub(super) fn with(self, name: &str, value: &str) -> Self {
        self.last(|step| {
            step.headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            step.headers.push((name.to_owned(), value.to_owned()));
        })
    }

    /// Without its credentials.
    pub(super) fn unauthorized(self) -> Self {
        self.last(|step| step.is_authorized = false)
    }

    /// The answer has this status.
    pub(super) fn is(self, status: u16) -> Self {
        self.check(Check::Status(vec![status]))
    }

    /// The answer has one of these statuses.
    pub(super) fn one_of(self, statuses: &[u16]) -> Self {
        self.check(Check::Status(statuses.to_vec()))
    }

    /// The answer has this header field.
    pub(super) fn header(self, name: &'static str, value: &str) -> Self {
        self.check(Check::Header(name, value.to_owned()))
    }

    /// The answer has no body.
    pub(super) fn empty(self) -> Self {
        self.check(Check::Empty)
    }

    /// The answer's body is this text.
    pub(super) fn text(self, text: &str) -> Self {
        self.check(Check::Text(text.to_owned()))
    }

    /// The answer's body has so many bytes.
    pub(super) fn bytes(self, count: usize) -> Self {
        self.check(Check::Bytes(count))
    }

    /// The JSON body has this value at this pointer.
    pub(super) fn json(self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.check(Check::Json(pointer, value.into()))
    }

    /// The JSON body has a text with this in it at this pointer.
    pub(super) fn contains(self, pointer: &'static str, part: &str) -> Self {
        self.check(Check::Contains(pointer, part.to_owned()))
    }

    /// The JSON body has something at this pointer.
    pub(super) fn has(self, pointer: &'static str) -> Self {
        self.check(Check::Has(pointer))
    }

    /// The JSON body has nothing at this pointer.
    pub(super) fn lacks(self, pointer: &'static str) -> Self {
        self.check(Check::Lacks(pointer))
    }

    /// The JSON body has a list of this length at this pointer.
    pub(super) fn length(self, pointer: &'static str, length: usize) -> Self {
        self.check(Check::Length(pointer, length))
    }

    /// The answer is as the function wants it.
    pub(super) fn that(self, what: &'static str, check: fn(&Answer) -> Result<()>) -> Self {
        self.check(Check::That(what, check))
    }
}

impl Step {
    /// Whether the answer is what it must be.
    pub(super) fn judge(&self, answer: &Answer, names: &Names) -> Result<()> {
        self.checks
            .iter()
            .try_for_each(|check| check.judge(answer, names))
            .with_context(|| answer.to_string())
    }
}

impl Check {
    fn judge(&self, answer: &Answer, names: &Names) -> Result<()> {
        let at = |pointer: &str| -> Result<Option<Value>> {
            Ok(json(answer)?.pointer(pointer).cloned())
        };
        match self {
            Self::Status(wanted) => {
                ensure!(
                    wanted.contains(&answer.status),
                    "status {wanted:?} was expected"
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
                let value = match value {
                    Value::String(text) => names.fill(text).into(),
                    other => other.clone(),
                };
                let found = at(pointer)?;
                ensure!(
                    found.as_ref() == Some(&value),
                    "{pointer} must be {value}, not {found:?}"
                );
            }
            Self::Contains(pointer, part) => {
                let (part, found) = (names.fill(part), at(pointer)?);
                let contains = found
                    .as_ref()
                    .and_then(Value::as_str)
                    .is_some_and(|text| text.contains(&part));
                ensure!(
                    contains,
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
        }
        Ok(())
    }
}

/// The body as JSON, whether it came as that or as CBOR.
fn json(answer: &Answer) -> Result<Value> {
    match answer.header("content-type") {
        "application/cbor" => {
            ciborium::from_reader(&answer.body[..]).context("the body is no CBOR")
        }
        "application/json" | "application/hal+json" => answer.json(),
        other => bail!("the body is {other}, no JSON and no CBOR"),
    }
}
