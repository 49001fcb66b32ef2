//! Cases as data: a device in some state, requests, and what each must be answered.

use reqwest::Method;
use serde_json::Value;

use crate::{
    adapter::{
        AssignmentOptions, Capability, MaintenanceWindow, Priority, UpdateState, UpdateType,
    },
    bundle::{Bundle, SINGLE_FILE},
    check::Check,
    response::HttpResponse,
};

/// One case. Texts may hold `{placeholders}`, see [`Placeholders`](crate::names::Placeholders).
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What of the standard it is about: a resource's number, or a section of it.
    pub(crate) row: &'static str,
    /// What it shows.
    pub(crate) name: String,
    pub(crate) setup: DeviceSetup,
    pub(crate) steps: Vec<Step>,
    extra_capabilities: Vec<Capability>,
}

/// The device of a case as it is when the case begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceSetup {
    pub(crate) device_state: DeviceState,
    /// What its update brings, if it has one.
    pub(crate) bundle: &'static Bundle,
    pub(crate) options: AssignmentOptions,
    /// Whether it has a token of its own, and shows that; others come through the gateway.
    pub(crate) has_token: bool,
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceState {
    /// Nobody has ever heard of it.
    Unknown,
    /// Has polled.
    Registered,
    /// Has polled and said what it is.
    Identified,
    /// Is assigned an update, and has not looked at it.
    Offered,
    /// Has fetched the update's description and said that it proceeds.
    Proceeding,
    /// Has closed its update with success.
    Succeeded,
    /// Has closed its update with failure.
    Failed,
    /// Its update, which it was busy with, is called back.
    Cancelling,
    /// Has agreed to that.
    Cancelled,
}

impl DeviceState {
    /// Whether such a device has, or had, an update.
    pub(crate) fn has_update(self) -> bool {
        !matches!(self, Self::Unknown | Self::Registered | Self::Identified)
    }

    /// Whether that update has yet to come to its end.
    pub(crate) fn has_open_update(self) -> bool {
        matches!(self, Self::Offered | Self::Proceeding | Self::Cancelling)
    }

    /// Whether that update is, or was, called back.
    pub(crate) fn was_cancelled(self) -> bool {
        matches!(self, Self::Cancelling | Self::Cancelled)
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The device sends a request.
    Request(Box<Request>),
    /// The operator does something.
    Operator(OperatorAction),
}

/// What an operator does in the middle of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OperatorAction {
    Cancel,
    ForceCancel,
    /// From then on, `{next}` is this update.
    Assign(&'static Bundle, AssignmentOptions),
    /// Looks where the update stands, which must come to be this.
    ExpectState(UpdateState),
    RequestAttributes,
    /// Looks what the device has said of itself, which must come to be this and nothing else.
    ExpectAttributes(&'static [(&'static str, &'static str)]),
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
    pub(crate) concurrency: usize,
    /// Whether it is sent again until it is answered as it must be.
    pub(crate) is_retried: bool,
    pub(crate) checks: Vec<Check>,
    /// Placeholders for what stands at a place of the answer.
    pub(crate) captures: Vec<(&'static str, &'static str)>,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    ContentLength,
    /// The body waits until the server says `100 Continue`.
    ExpectContinue,
    /// The body comes in chunks, without a length.
    Chunked,
}

impl Case {
    /// A case about a device of this standing.
    pub(crate) fn new(row: &'static str, name: &str, device_state: DeviceState) -> Self {
        let setup = DeviceSetup {
            device_state,
            bundle: &SINGLE_FILE,
            options: AssignmentOptions::default(),
            has_token: false,
        };
        Self {
            row,
            name: name.to_owned(),
            setup,
            steps: Vec::new(),
            extra_capabilities: Vec::new(),
        }
    }

    /// Everything that the case needs.
    pub(crate) fn required_capabilities(&self) -> Vec<Capability> {
        let DeviceSetup {
            device_state,
            bundle,
            options,
            has_token,
        } = self.setup;
        let mut capabilities = self.extra_capabilities.clone();
        let mut add = |condition: bool, capability: Capability| {
            if condition {
                capabilities.push(capability);
            }
        };
        let mut assigned = vec![(bundle, options)];
        for step in &self.steps {
            match step {
                Step::Operator(OperatorAction::Cancel) => add(true, Capability::Cancel),
                Step::Operator(OperatorAction::ForceCancel) => add(true, Capability::ForceCancel),
                Step::Operator(OperatorAction::ExpectState(_)) => {
                    add(true, Capability::UpdateState)
                }
                Step::Operator(OperatorAction::ExpectAttributes(_)) => {
                    add(true, Capability::Attributes)
                }
                Step::Operator(OperatorAction::RequestAttributes) => {
                    add(true, Capability::RequestAttributes)
                }
                Step::Operator(OperatorAction::Assign(bundle, options)) => {
                    add(device_state.has_open_update(), Capability::SeveralUpdates);
                    assigned.push((bundle, *options));
                }
                Step::Request(request) => add(
                    request.framing != Framing::ContentLength,
                    Capability::PlainHttp,
                ),
            }
        }
        add(device_state.was_cancelled(), Capability::Cancel);
        add(has_token, Capability::TargetToken);
        for (bundle, options) in assigned {
            add(
                options.update_type != UpdateType::Forced,
                Capability::UpdateTypes,
            );
            add(options.confirmation, Capability::Confirmation);
            add(
                options.window != MaintenanceWindow::None,
                Capability::MaintenanceWindows,
            );
            add(options.prefetch, Capability::Prefetch);
            add(options.attested, Capability::Attestation);
            add(
                options.priority != Priority::Normal,
                Capability::SeveralUpdates,
            );
            let modules = bundle.modules;
            add(
                modules.iter().any(|module| !module.shown.is_empty()),
                Capability::Metadata,
            );
            add(
                modules.iter().any(|module| module.files.is_empty()),
                Capability::ModulesWithoutFiles,
            );
        }
        capabilities.sort_unstable();
        capabilities.dedup();
        capabilities
    }

    /// Whether the operator does something to its update during the case, so that no other may be assigned with it.
    pub(crate) fn is_isolated(&self) -> bool {
        let touches = |step: &Step| {
            matches!(
                step,
                Step::Operator(OperatorAction::Cancel | OperatorAction::ForceCancel)
            )
        };
        self.steps.iter().any(touches)
    }

    fn step(mut self, method: Method, path: &str) -> Self {
        self.steps.push(Step::Request(Box::new(Request {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            is_authorized: true,
            body: None,
            framing: Framing::ContentLength,
            times: 1,
            concurrency: 1,
            is_retried: false,
            checks: Vec::new(),
            captures: Vec::new(),
        })));
        self
    }

    fn edit_last(mut self, change: impl FnOnce(&mut Request)) -> Self {
        match self.steps.last_mut() {
            Some(Step::Request(request)) => change(request),
            _ => unreachable!("what is checked is the answer to a request"),
        }
        self
    }

    fn check(self, check: Check) -> Self {
        self.edit_last(|request| request.checks.push(check))
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
    pub(crate) fn with_options(mut self, options: AssignmentOptions) -> Self {
        self.setup.options = options;
        self
    }

    /// Its update brings this.
    pub(crate) fn with_bundle(mut self, bundle: &'static Bundle) -> Self {
        self.setup.bundle = bundle;
        self
    }

    /// The device was made before it was seen, and shows its own token.
    pub(crate) fn with_token(mut self) -> Self {
        self.setup.has_token = true;
        self
    }

    /// It cannot be run without this, which does not show in its steps.
    pub(crate) fn requires(mut self, capability: Capability) -> Self {
        self.extra_capabilities.push(capability);
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
            .with_header("Content-Type", "application/json")
    }

    /// With these bytes.
    pub(crate) fn body(self, body: Vec<u8>) -> Self {
        self.edit_last(|request| request.body = Some(body))
    }

    /// With this header field in place of one of the same name.
    pub(crate) fn with_header(self, name: &str, value: &str) -> Self {
        self.edit_last(|request| {
            request
                .headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            request.headers.push((name.to_owned(), value.to_owned()));
        })
    }

    /// Without its credentials.
    pub(crate) fn unauthorized(self) -> Self {
        self.edit_last(|request| request.is_authorized = false)
    }

    /// Written in this way.
    pub(crate) fn with_framing(self, framing: Framing) -> Self {
        self.edit_last(|request| request.framing = framing)
    }

    /// So many times, so many of them at once. Every answer is checked.
    pub(crate) fn times(self, times: usize, concurrency: usize) -> Self {
        self.edit_last(|request| (request.times, request.concurrency) = (times, concurrency))
    }

    /// Again and again until the answer is as it must be: an operator's act may take a moment. Of what is sent many times
    /// each time, one answer must be so.
    pub(crate) fn eventually(self) -> Self {
        self.edit_last(|request| request.is_retried = true)
    }

    /// The text at this place of the answer is called this from then on.
    pub(crate) fn capture(self, name: &'static str, pointer: &'static str) -> Self {
        self.edit_last(|request| request.captures.push((name, pointer)))
    }

    /// Then the operator does this.
    pub(crate) fn operator(mut self, action: OperatorAction) -> Self {
        self.steps.push(Step::Operator(action));
        self
    }
}

/// What is answered.
impl Case {
    /// The answer has this status.
    pub(crate) fn status(self, status: u16) -> Self {
        self.status_in(&[status])
    }

    /// The answer has one of these statuses: the standard leaves it open.
    pub(crate) fn status_in(self, statuses: &[u16]) -> Self {
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
        self.status(status)
            .json("/errorCode", format!("hawkbit.server.error.{code}"))
            .has("/exceptionClass")
            .has("/message")
            .has("/info")
    }

    /// The answer is as the function wants it.
    pub(crate) fn satisfies(
        self,
        what: &'static str,
        check: fn(&HttpResponse) -> anyhow::Result<()>,
    ) -> Self {
        self.check(Check::Satisfies(what, check))
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
        let case = answered(Self::new("", "", DeviceState::Unknown).get(""));
        case.steps
            .into_iter()
            .flat_map(|step| match step {
                Step::Request(request) => request.checks,
                Step::Operator(_) => Vec::new(),
            })
            .collect()
    }
}
