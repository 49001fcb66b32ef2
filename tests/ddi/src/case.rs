//! Cases as data: a device in some state, requests, and what each must be answered.

use reqwest::Method;
use serde_json::Value;

use crate::{
    adapter::{Kind, Need, State, Terms, Urgency, Window},
    answer::Answer,
    bundle::{Bundle, PLAIN},
    check::Check,
};

/// One case. Texts may hold `{names}`, see [`Names`](crate::names::Names).
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What of the standard it is about: a resource's number, or a section of it.
    pub(crate) row: &'static str,
    /// What it shows.
    pub(crate) name: String,
    pub(crate) given: Given,
    pub(crate) steps: Vec<Step>,
    needs: Vec<Need>,
}

/// The device of a case as it is when the case begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub(crate) standing: Standing,
    /// What its update brings, if it has one.
    pub(crate) bundle: &'static Bundle,
    pub(crate) terms: Terms,
    /// Whether it has a token of its own, and shows that; others come through the gateway.
    pub(crate) has_token: bool,
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has ever heard of it.
    Unknown,
    /// Has polled.
    Known,
    /// Has polled and said what it is.
    Introduced,
    /// Is assigned an update, and has not looked at it.
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
    pub(crate) fn has_update(self) -> bool {
        !matches!(self, Self::Unknown | Self::Known | Self::Introduced)
    }

    /// Whether that update has yet to come to its end.
    pub(crate) fn has_open_update(self) -> bool {
        matches!(self, Self::Offered | Self::Busy | Self::CalledBack)
    }

    /// Whether that update is, or was, called back.
    pub(crate) fn is_called_back(self) -> bool {
        matches!(self, Self::CalledBack | Self::Cancelled)
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The device sends a request.
    Request(Box<Request>),
    /// The operator does something.
    Operator(Act),
}

/// What an operator does in the middle of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Cancel,
    Quit,
    /// From then on, `{next}` is this update.
    Assign(&'static Bundle, Terms),
    /// Looks where the update stands, which must come to be this.
    Find(State),
    AskAttributes,
    /// Looks what the device has said of itself, which must come to be this and nothing else.
    Attributes(&'static [(&'static str, &'static str)]),
}

/// One request, and what it must be answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the device's own address; one that starts with `/` is the server's, one with `http` is whole.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether the device shows its credentials.
    pub(crate) is_authorized: bool,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) framing: Framing,
    /// How many times it is sent.
    pub(crate) times: usize,
    /// How many of them at once.
    pub(crate) at_once: usize,
    /// Whether it is sent again until it is answered as it must be.
    pub(crate) is_patient: bool,
    pub(crate) checks: Vec<Check>,
    /// Names for what stands at a place of the answer.
    pub(crate) kept: Vec<(&'static str, &'static str)>,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Usual,
    /// The body waits until the server says `100 Continue`.
    AfterContinue,
    /// The body comes in chunks, without a length.
    Chunked,
}

impl Case {
    /// A case about a device of this standing.
    pub(crate) fn new(row: &'static str, name: &str, standing: Standing) -> Self {
        let given = Given {
            standing,
            bundle: &PLAIN,
            terms: Terms::default(),
            has_token: false,
        };
        Self {
            row,
            name: name.to_owned(),
            given,
            steps: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// Everything that the case needs.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let Given {
            standing,
            bundle,
            terms,
            has_token,
        } = self.given;
        let mut needs = self.needs.clone();
        let mut add = |condition: bool, need: Need| {
            if condition {
                needs.push(need);
            }
        };
        let mut assigned = vec![(bundle, terms)];
        for step in &self.steps {
            match step {
                Step::Operator(Act::Cancel) => add(true, Need::Cancel),
                Step::Operator(Act::Quit) => add(true, Need::Quit),
                Step::Operator(Act::Find(_)) => add(true, Need::State),
                Step::Operator(Act::Attributes(_)) => add(true, Need::Attributes),
                Step::Operator(Act::AskAttributes) => add(true, Need::AskAttributes),
                Step::Operator(Act::Assign(bundle, terms)) => {
                    add(standing.has_open_update(), Need::SeveralUpdates);
                    assigned.push((bundle, *terms));
                }
                Step::Request(request) => add(request.framing != Framing::Usual, Need::PlainHttp),
            }
        }
        add(standing.is_called_back(), Need::Cancel);
        add(has_token, Need::TargetToken);
        for (bundle, terms) in assigned {
            add(terms.kind != Kind::Forced, Need::Kinds);
            add(terms.confirmation, Need::Confirmation);
            add(terms.window != Window::None, Need::Windows);
            add(terms.prefetch, Need::Prefetch);
            add(terms.proof, Need::Proof);
            add(terms.urgency != Urgency::Normal, Need::SeveralUpdates);
            let modules = bundle.modules;
            add(
                modules.iter().any(|module| !module.shown.is_empty()),
                Need::Metadata,
            );
            add(
                modules.iter().any(|module| module.files.is_empty()),
                Need::NoFiles,
            );
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// Whether the operator does something to its update during the case, so that no other may be assigned with it.
    pub(crate) fn is_apart(&self) -> bool {
        let touches = |step: &Step| matches!(step, Step::Operator(Act::Cancel | Act::Quit));
        self.steps.iter().any(touches)
    }

    fn step(mut self, method: Method, path: &str) -> Self {
        self.steps.push(Step::Request(Box::new(Request {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            is_authorized: true,
            body: None,
            framing: Framing::Usual,
            times: 1,
            at_once: 1,
            is_patient: false,
            checks: Vec::new(),
            kept: Vec::new(),
        })));
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Request)) -> Self {
        match self.steps.last_mut() {
            Some(Step::Request(request)) => change(request),
            _ => unreachable!("what is checked is the answer to a request"),
        }
        self
    }

    fn check(self, check: Check) -> Self {
        self.last(|request| request.checks.push(check))
    }
}

/// What is given.
impl Case {
    /// It is about something else than the others of its list.
    pub(crate) fn row(mut self, row: &'static str) -> Self {
        self.row = row;
        self
    }

    /// Its update is assigned on these terms.
    pub(crate) fn on(mut self, terms: Terms) -> Self {
        self.given.terms = terms;
        self
    }

    /// Its update brings this.
    pub(crate) fn brings(mut self, bundle: &'static Bundle) -> Self {
        self.given.bundle = bundle;
        self
    }

    /// The device was made before it was seen, and shows its own token.
    pub(crate) fn with_token(mut self) -> Self {
        self.given.has_token = true;
        self
    }

    /// It cannot be run without this, which does not show in its steps.
    pub(crate) fn needing(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }
}

/// What happens.
impl Case {
    /// Then the device reads this.
    pub(crate) fn get(self, path: &str) -> Self {
        self.step(Method::GET, path)
    }

    /// Then it asks for the head of this.
    pub(crate) fn head(self, path: &str) -> Self {
        self.step(Method::HEAD, path)
    }

    /// Then it sends something in any way.
    pub(crate) fn send(self, method: Method, path: &str) -> Self {
        self.step(method, path)
    }

    /// Then it posts JSON text.
    pub(crate) fn post(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::POST, path).json_body(body)
    }

    /// Then it puts JSON text.
    pub(crate) fn put(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::PUT, path).json_body(body)
    }

    fn json_body(self, body: impl Into<String>) -> Self {
        self.body(body.into().into_bytes())
            .with("Content-Type", "application/json")
    }

    /// With these bytes.
    pub(crate) fn body(self, body: Vec<u8>) -> Self {
        self.last(|request| request.body = Some(body))
    }

    /// With this header field in place of one of the same name.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        self.last(|request| {
            request
                .headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            request.headers.push((name.to_owned(), value.to_owned()));
        })
    }

    /// Without its credentials.
    pub(crate) fn unauthorized(self) -> Self {
        self.last(|request| request.is_authorized = false)
    }

    /// Written in this way.
    pub(crate) fn framed(self, framing: Framing) -> Self {
        self.last(|request| request.framing = framing)
    }

    /// So many times, so many of them at once. Every answer is checked.
    pub(crate) fn times(self, times: usize, at_once: usize) -> Self {
        self.last(|request| (request.times, request.at_once) = (times, at_once))
    }

    /// Again and again until the answer is as it must be: an operator's act may take a moment. Of what is sent many times
    /// each time, one answer must be so.
    pub(crate) fn soon(self) -> Self {
        self.last(|request| request.is_patient = true)
    }

    /// The text at this place of the answer is called this from then on.
    pub(crate) fn keep(self, name: &'static str, pointer: &'static str) -> Self {
        self.last(|request| request.kept.push((name, pointer)))
    }

    /// Then the operator does this.
    pub(crate) fn operator(mut self, act: Act) -> Self {
        self.steps.push(Step::Operator(act));
        self
    }
}

/// What is answered.
impl Case {
    /// The answer has this status.
    pub(crate) fn is(self, status: u16) -> Self {
        self.one_of(&[status])
    }

    /// The answer has one of these statuses: the standard leaves it open.
    pub(crate) fn one_of(self, statuses: &[u16]) -> Self {
        self.check(Check::Status(statuses.to_vec()))
    }

    /// The answer has this header field.
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        self.check(Check::Header(name, value.to_owned()))
    }

    /// The answer has no body.
    pub(crate) fn empty(self) -> Self {
        self.check(Check::Empty)
    }

    /// The answer's body is this text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.check(Check::Text(text.to_owned()))
    }

    /// The answer's body has so many bytes.
    pub(crate) fn bytes(self, count: usize) -> Self {
        self.check(Check::Bytes(count))
    }

    /// The body has this value at this pointer.
    pub(crate) fn json(self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.check(Check::Json(pointer, value.into()))
    }

    /// The body has a text with this in it at this pointer.
    pub(crate) fn contains(self, pointer: &'static str, part: &str) -> Self {
        self.check(Check::Contains(pointer, part.to_owned()))
    }

    /// The body has something at this pointer.
    pub(crate) fn has(self, pointer: &'static str) -> Self {
        self.check(Check::Has(pointer))
    }

    /// The body has nothing at this pointer.
    pub(crate) fn lacks(self, pointer: &'static str) -> Self {
        self.check(Check::Lacks(pointer))
    }

    /// The body has a list of this length at this pointer.
    pub(crate) fn length(self, pointer: &'static str, length: usize) -> Self {
        self.check(Check::Length(pointer, length))
    }

    /// The answer is an error as devices know it: this status, and this end of an error code.
    pub(crate) fn error(self, status: u16, code: &str) -> Self {
        self.is(status)
            .json("/errorCode", format!("hawkbit.server.error.{code}"))
            .has("/exceptionClass")
            .has("/message")
            .has("/info")
    }

    /// The answer is as the function wants it.
    pub(crate) fn that(self, what: &'static str, check: fn(&Answer) -> anyhow::Result<()>) -> Self {
        self.check(Check::That(what, check))
    }

    /// A server with this difference answers like `ours`, all others as the standard has it.
    pub(crate) fn differs(
        self,
        difference: u8,
        standard: impl FnOnce(Self) -> Self,
        ours: impl FnOnce(Self) -> Self,
    ) -> Self {
        let (standard, ours) = (Self::checks(standard), Self::checks(ours));
        self.check(Check::Differs {
            difference,
            standard,
            ours,
        })
    }

    fn checks(answered: impl FnOnce(Self) -> Self) -> Vec<Check> {
        let case = answered(Self::new("", "", Standing::Unknown).get(""));
        case.steps
            .into_iter()
            .flat_map(|step| match step {
                Step::Request(request) => request.checks,
                Step::Operator(_) => Vec::new(),
            })
            .collect()
    }
}
