//! Runs cases, each with a device of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::AUTHORIZATION;
use tidegate_ddi_client::HttpResponse;

use crate::{
    adapter::{Adapter, Capability},
    case::{Case, Framing, OperatorAction, Request, Step},
    cases,
    check::ResponseChecker,
    raw,
    report::{CaseOutcome, CaseResult, Report},
    response::DecodeBody as _,
    suite::{PreparedCase, Suite},
    wait_until,
};

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// A few letters or digits that distinguish the names of this run from those of other runs.
    pub run: String,
    /// Selected rows, or parts of case names; empty for all cases.
    pub only: Vec<String>,
    /// Maximum number of cases that run concurrently.
    pub concurrency: usize,
}

/// Runs the cases against a server. Returns an error if the setup that all cases share fails.
pub async fn run(adapter: &dyn Adapter, options: &RunOptions) -> Result<Report> {
    let cases = cases::select(&options.only);
    let skip_reason: Vec<Option<String>> = cases
        .iter()
        .map(|case| skip_reason(adapter, case))
        .collect();
    let runnable: Vec<&Case> = cases
        .iter()
        .zip(&skip_reason)
        .filter_map(|(case, skip_reason)| skip_reason.is_none().then_some(case))
        .collect();
    let suite = Suite::new(adapter, &options.run, options.concurrency, &runnable).await?;
    let prepared = suite
        .prepare(&runnable)
        .await
        .context("prepare the cases")?;
    let runs = runnable
        .iter()
        .zip(prepared)
        .map(|(case, prepared)| run_case(adapter, &suite, case, prepared));
    let outcomes: Vec<CaseOutcome> = stream::iter(runs)
        .buffered(options.concurrency)
        .collect()
        .await;
    let mut outcomes = outcomes.into_iter();
    let entries = cases
        .iter()
        .zip(skip_reason)
        .map(|(case, skip_reason)| CaseResult {
            row: case.row,
            name: case.name.clone(),
            outcome: match skip_reason {
                Some(reason) => CaseOutcome::Skipped(reason),
                None => outcomes
                    .next()
                    .unwrap_or(CaseOutcome::Skipped("not run".to_owned())),
            },
        });
    Ok(Report {
        server: adapter.target().url.clone(),
        entries: entries.collect(),
    })
}

/// The reason why a case cannot run.
fn skip_reason(adapter: &dyn Adapter, case: &Case) -> Option<String> {
    let skip_if_unsupported = |capability: Capability| match capability {
        Capability::PlainHttp if !adapter.target().url.starts_with("http://") => {
            Some("the connection uses TLS")
        }
        Capability::Proxy if !adapter.target().is_proxy => {
            Some("the server does not trust this host as a proxy")
        }
        Capability::DirectClient if adapter.target().is_proxy => {
            Some("the server trusts this host as a proxy")
        }
        capability => adapter.unsupported(capability),
    };
    case.required_capabilities()
        .into_iter()
        .find_map(skip_if_unsupported)
        .map(str::to_owned)
}

async fn run_case(
    adapter: &dyn Adapter,
    suite: &Suite<'_>,
    case: &Case,
    prepared: Result<PreparedCase>,
) -> CaseOutcome {
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return CaseOutcome::Fails(format!("setup: {error:#}")),
    };
    let mut case_run = CaseRun {
        adapter,
        suite,
        prepared,
        differences: BTreeSet::new(),
    };
    for (n, step) in case.steps.iter().enumerate() {
        let done = match step {
            Step::Request(request) => case_run.request(request).await,
            Step::Operator(action) => case_run.perform(*action).await,
        };
        if let Err(error) = done {
            return CaseOutcome::Fails(format!("step {}: {error:#}", n + 1));
        }
    }
    if case_run.differences.is_empty() {
        CaseOutcome::Conforms
    } else {
        CaseOutcome::Differs(case_run.differences)
    }
}

/// A case while it runs.
struct CaseRun<'a> {
    adapter: &'a dyn Adapter,
    suite: &'a Suite<'a>,
    prepared: PreparedCase,
    /// The known differences that were observed.
    differences: BTreeSet<u8>,
}

impl CaseRun<'_> {
    async fn perform(&mut self, action: OperatorAction) -> Result<()> {
        let update = || {
            self.prepared
                .update
                .as_ref()
                .context("the device has no update")
        };
        match action {
            OperatorAction::Cancel => self.adapter.cancel(std::slice::from_ref(update()?)).await,
            OperatorAction::ForceCancel => self.adapter.force_cancel(update()?).await,
            OperatorAction::ExpectState(expected) => {
                let update = update()?;
                let mut last = None;
                let found = wait_until("the update is in the expected state", async || {
                    let state = self.adapter.update_state(update).await?;
                    last = Some(state);
                    Ok((state == expected).then_some(()))
                });
                let found = found.await;
                found.with_context(|| format!("expected {expected:?}, found {last:?}"))
            }
            OperatorAction::ExpectAttributes(expected) => {
                let expected: BTreeMap<String, String> = expected
                    .iter()
                    .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
                let (device, mut last) = (&self.prepared.device.id, None);
                let found = wait_until("the attributes are as expected", async || {
                    let found = self.adapter.attributes(device).await?;
                    let is_so = found == expected;
                    last = Some(found);
                    Ok(is_so.then_some(()))
                });
                let found = found.await;
                found.with_context(|| format!("expected {expected:?}, found {last:?}"))
            }
            OperatorAction::RequestAttributes => {
                self.adapter
                    .request_attributes(&self.prepared.device.id)
                    .await
            }
            OperatorAction::Assign(bundle, options) => {
                let next = self
                    .suite
                    .assign(&self.prepared.device, bundle, options)
                    .await?;
                self.prepared.placeholders.set("next", &next.id);
                self.prepared.update.get_or_insert(next);
                Ok(())
            }
        }
    }

    async fn request(&mut self, request: &Request) -> Result<()> {
        let response = if request.is_retried {
            let mut last = None;
            let good = wait_until("the response passes all checks", async || {
                for response in self.send_all(request).await? {
                    match self.verify(request, &response) {
                        Ok(()) => return Ok(Some(response)),
                        Err(error) => last = Some(error),
                    }
                }
                Ok(None)
            });
            match (good.await, last) {
                (Ok(response), _) => response,
                (Err(error), None) => return Err(error),
                (Err(error), Some(last)) => return Err(last.context(error.to_string())),
            }
        } else {
            let mut last = None;
            for response in self.send_all(request).await? {
                self.verify(request, &response)?;
                last = Some(response);
            }
            let Some(last) = last else {
                bail!("the request was not sent")
            };
            last
        };
        self.capture(request, &response)
    }

    async fn send_all(&self, request: &Request) -> Result<Vec<HttpResponse>> {
        let sent = (0..request.times).map(|n| self.send(request, n));
        stream::iter(sent)
            .buffered(request.concurrency)
            .try_collect()
            .await
    }

    async fn send(&self, request: &Request, n: usize) -> Result<HttpResponse> {
        let PreparedCase {
            device,
            placeholders,
            ..
        } = &self.prepared;
        let mut placeholders = placeholders.clone();
        placeholders.set("n", n.to_string());
        let path = placeholders.fill(&request.path);
        let base = device.client.base();
        let url = match &*path {
            "" => base.to_owned(),
            whole if whole.starts_with("http") => whole.to_owned(),
            path if path.starts_with('/') => placeholders.fill("{server}") + path,
            query if query.starts_with('?') => format!("{base}{query}"),
            path => format!("{base}/{path}"),
        };
        let fill = |(name, value): &(String, String)| (name.clone(), placeholders.fill(value));
        let mut headers: Vec<_> = request.headers.iter().map(fill).collect();
        if request.is_authorized {
            let authorization = device.client.credentials().authorization();
            headers.extend(authorization.map(|value| (AUTHORIZATION.to_string(), value)));
        }
        let body = request
            .body
            .as_ref()
            .map(|body| match std::str::from_utf8(body) {
                Ok(text) => placeholders.fill(text).into_bytes(),
                Err(_) => body.clone(),
            });
        if request.framing != Framing::ContentLength {
            let body = body.unwrap_or_default();
            return raw::exchange(
                request.method.as_str(),
                &url,
                &headers,
                &body,
                request.framing,
            )
            .await;
        }
        let mut sent = device.request(request.method.clone(), &url);
        for (name, value) in headers {
            sent = sent.header(name, value);
        }
        if let Some(body) = body {
            sent = sent.body(body);
        }
        Ok(HttpResponse::fetch(sent).await?)
    }

    fn verify(&mut self, request: &Request, response: &HttpResponse) -> Result<()> {
        let differs = |difference| self.adapter.differs(difference);
        let mut verify = ResponseChecker {
            placeholders: &self.prepared.placeholders,
            differs: &differs,
            differences: BTreeSet::new(),
        };
        verify.verify(&request.checks, response)?;
        let differences = verify.differences;
        self.differences.extend(differences);
        Ok(())
    }

    fn capture(&mut self, request: &Request, response: &HttpResponse) -> Result<()> {
        for (name, field) in [("etag", "etag"), ("modified", "last-modified")] {
            if response.headers.contains_key(field) {
                self.prepared.placeholders.set(name, response.header(field));
            }
        }
        for (name, pointer) in &request.captures {
            let body = response.decode()?;
            let found = body.pointer(pointer).and_then(|value| value.as_str());
            let found = found.with_context(|| format!("{pointer} must be a string: {response}"))?;
            self.prepared.placeholders.set(name, found);
        }
        Ok(())
    }
}
