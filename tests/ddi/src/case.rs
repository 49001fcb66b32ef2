//! Cases as data: a device in some state, requests, and the expected responses.

use reqwest::Method;
use serde_json::Value;
use tidegate_ddi_client::HttpResponse;

use crate::{
    adapter::{
        AssignmentOptions, Capability, MaintenanceWindow, Priority, UpdateState, UpdateType,
    },
    bundle::{Bundle, SINGLE_FILE},
    check::Check,
};

/// One case. Its texts may contain `{placeholders}`, see [`Placeholders`](crate::placeholders::Placeholders).
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The part of the standard that it covers: the number of a resource or of a section.
    pub(crate) row: &'static str,
    /// What it checks.
    pub(crate) name: String,
    pub(crate) setup: DeviceSetup,
    pub(crate) steps: Vec<Step>,
    extra_capabilities: Vec<Capability>,
}

/// The device of a case, as it is when the case begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceSetup {
    pub(crate) device_state: DeviceState,
    /// The firmware of its update, if it has one.
    pub(crate) bundle: &'static Bundle,
    pub(crate) options: AssignmentOptions,
    /// Whether it authenticates with a token of its own; other devices use the gateway token.
    pub(crate) has_token: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceState {
    /// Never registered.
    Unknown,
    /// Has polled.
    Registered,
    /// Has polled and sent its attributes.
    Identified,
    /// Has an update, which it has not read.
    Offered,
    /// Has read its update and reported `proceeding`.
    Proceeding,
    /// Has closed its update with success.
    Succeeded,
    /// Has closed its update with failure.
    Failed,
    /// Its update, which it was installing, is being cancelled.
    Cancelling,
    /// Has confirmed the cancellation.
    Cancelled,
}

impl DeviceState {
    /// Whether a device in this state has, or had, an update.
    pub(crate) fn has_update(self) -> bool {
        !matches!(self, Self::Unknown | Self::Registered | Self::Identified)
    }

    /// Whether that update is still open.
    pub(crate) fn has_open_update(self) -> bool {
        matches!(self, Self::Offered | Self::Proceeding | Self::Cancelling)
    }

    /// Whether that update was cancelled or is being cancelled.
    pub(crate) fn was_cancelled(self) -> bool {
        matches!(self, Self::Cancelling | Self::Cancelled)
    }
}

/// One step of a case.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The device sends a request.
    Request(Box<Request>),
    /// The operator does something.
    Operator(OperatorAction),
}

/// An operator's action during a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OperatorAction {
    Cancel,
    ForceCancel,
    /// Sets `{next}` to the new update.
    Assign(&'static Bundle, AssignmentOptions),
    /// Waits until the update is in this state.
    ExpectState(UpdateState),
    RequestAttributes,
    /// Waits until the device has exactly these attributes.
    ExpectAttributes(&'static [(&'static str, &'static str)]),
}

/// One request and its expected response.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Relative to the device's root resource; absolute on the server if it starts with `/`, a whole URL if with
    /// `http`.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Whether credentials are sent.
    pub(crate) is_authorized: bool,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) framing: Framing,
    /// How often it is sent.
    pub(crate) times: usize,
    /// Maximum number of requests in flight.
    pub(crate) concurrency: usize,
    /// Whether it is repeated until the checks hold.
    pub(crate) is_retried: bool,
    pub(crate) checks: Vec<Check>,
    /// Placeholders that are set from the response: name and JSON pointer.
    pub(crate) captures: Vec<(&'static str, &'static str)>,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    ContentLength,
    /// The body is sent after the server's `100 Continue`.
    ExpectContinue,
    /// The body is sent in chunks, without a length.
    Chunked,
}

impl Case {
    /// A case about a device in this state.
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

    /// All capabilities that the case needs.
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
                    add(true, Capability::UpdateState);
                }
                Step::Operator(OperatorAction::ExpectAttributes(_)) => {
                    add(true, Capability::Attributes);
                }
                Step::Operator(OperatorAction::RequestAttributes) => {
                    add(true, Capability::RequestAttributes);
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
                modules.iter().any(|module| !module.visible.is_empty()),
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

    /// Whether the operator changes its update during the case, so that it needs a campaign of its own.
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
            _ => unreachable!("a request must come before its expectations"),
        }
        self
    }

    fn check(self, check: Check) -> Self {
        self.edit_last(|request| request.checks.push(check))
    }
}

/// The setup of a case.
impl Case {
    /// Overrides the row of its list.
    pub(crate) fn row(mut self, row: &'static str) -> Self {
        self.row = row;
        self
    }

    /// Assigns the update with these options.
    pub(crate) fn with_options(mut self, options: AssignmentOptions) -> Self {
        self.setup.options = options;
        self
    }

    /// Assigns this firmware.
    pub(crate) fn with_bundle(mut self, bundle: &'static Bundle) -> Self {
        self.setup.bundle = bundle;
        self
    }

    /// The device is created before its first poll, and authenticates with its own token.
    pub(crate) fn with_token(mut self) -> Self {
        self.setup.has_token = true;
        self
    }

    /// Adds a capability that cannot be derived from the steps.
    pub(crate) fn requires(mut self, capability: Capability) -> Self {
        self.extra_capabilities.push(capability);
        self
    }
}

/// The steps of a case.
impl Case {
    /// The device reads this resource.
    pub(crate) fn get(self, path: &str) -> Self {
        self.step(Method::GET, path)
    }

    /// The device sends HEAD.
    pub(crate) fn head(self, path: &str) -> Self {
        self.step(Method::HEAD, path)
    }

    /// The device sends a request with any method.
    pub(crate) fn send(self, method: Method, path: &str) -> Self {
        self.step(method, path)
    }

    /// The device posts JSON.
    pub(crate) fn post(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::POST, path).json_body(body)
    }

    /// The device puts JSON.
    pub(crate) fn put(self, path: &str, body: impl Into<String>) -> Self {
        self.step(Method::PUT, path).json_body(body)
    }

    fn json_body(self, body: impl Into<String>) -> Self {
        self.body(body.into().into_bytes())
            .with_header("Content-Type", "application/json")
    }

    /// Sets the body.
    pub(crate) fn body(self, body: Vec<u8>) -> Self {
        self.edit_last(|request| request.body = Some(body))
    }

    /// Sets a header field, replacing one of the same name.
    pub(crate) fn with_header(self, name: &str, value: &str) -> Self {
        self.edit_last(|request| {
            request
                .headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            request.headers.push((name.to_owned(), value.to_owned()));
        })
    }

    /// Sends no credentials.
    pub(crate) fn unauthorized(self) -> Self {
        self.edit_last(|request| request.is_authorized = false)
    }

    /// Sets the framing.
    pub(crate) fn with_framing(self, framing: Framing) -> Self {
        self.edit_last(|request| request.framing = framing)
    }

    /// Sends the request `times` times, at most `concurrency` at once. Every response is checked.
    pub(crate) fn times(self, times: usize, concurrency: usize) -> Self {
        self.edit_last(|request| (request.times, request.concurrency) = (times, concurrency))
    }

    /// Repeats the request until the checks hold, because an operator's action may take effect later. Of a request
    /// that is sent several times, one response of each round must pass.
    pub(crate) fn eventually(self) -> Self {
        self.edit_last(|request| request.is_retried = true)
    }

    /// Sets a placeholder from the text at this JSON pointer of the response.
    pub(crate) fn capture(self, name: &'static str, pointer: &'static str) -> Self {
        self.edit_last(|request| request.captures.push((name, pointer)))
    }

    /// The operator does this.
    pub(crate) fn operator(mut self, action: OperatorAction) -> Self {
        self.steps.push(Step::Operator(action));
        self
    }
}

/// The expectations of a request.
impl Case {
    /// The status is this.
    pub(crate) fn status(self, status: u16) -> Self {
        self.status_in(&[status])
    }

    /// The status is one of these: the standard leaves it open.
    pub(crate) fn status_in(self, statuses: &[u16]) -> Self {
        self.check(Check::Status(statuses.to_vec()))
    }

    /// This header field has this value.
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        self.check(Check::Header(name, value.to_owned()))
    }

    /// The body is empty.
    pub(crate) fn empty(self) -> Self {
        self.check(Check::Empty)
    }

    /// The body is this text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.check(Check::Text(text.to_owned()))
    }

    /// The body has this length in bytes.
    pub(crate) fn bytes(self, count: usize) -> Self {
        self.check(Check::Bytes(count))
    }

    /// The value at this JSON pointer is this.
    pub(crate) fn json(self, pointer: &'static str, value: impl Into<Value>) -> Self {
        self.check(Check::Json(pointer, value.into()))
    }

    /// The text at this JSON pointer contains this.
    pub(crate) fn contains(self, pointer: &'static str, part: &str) -> Self {
        self.check(Check::Contains(pointer, part.to_owned()))
    }

    /// There is a value at this JSON pointer.
    pub(crate) fn has(self, pointer: &'static str) -> Self {
        self.check(Check::Has(pointer))
    }

    /// There is no value at this JSON pointer.
    pub(crate) fn lacks(self, pointer: &'static str) -> Self {
        self.check(Check::Lacks(pointer))
    }

    /// There is a list of this length at this JSON pointer.
    pub(crate) fn length(self, pointer: &'static str, length: usize) -> Self {
        self.check(Check::Length(pointer, length))
    }

    /// The response is a DDI error with this status and this end of its error code.
    pub(crate) fn error(self, status: u16, code: &str) -> Self {
        self.status(status)
            .json("/errorCode", format!("hawkbit.server.error.{code}"))
            .has("/exceptionClass")
            .has("/message")
            .has("/info")
    }

    /// The response passes this function.
    pub(crate) fn satisfies(
        self,
        what: &'static str,
        check: fn(&HttpResponse) -> anyhow::Result<()>,
    ) -> Self {
        self.check(Check::Satisfies(what, check))
    }

    /// A server with this known difference responds as in `ours`, all others as in `standard`.
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
