//! Runs cases, each on a device of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::AUTHORIZATION;

use crate::{
    adapter::{Adapter, Need},
    answer::Answer,
    case::{Act, Case, Framing, Request, Step},
    cases,
    check::Judge,
    raw,
    report::{Entry, Outcome, Report},
    stage::{Ready, Stage},
    until,
};

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keeps what this run makes apart from what others made: a few letters or digits.
    pub run: String,
    /// Rows, or parts of names; none: all cases.
    pub only: Vec<String>,
    /// Cases that run side by side.
    pub at_once: usize,
}

/// Runs the cases against a server. An error: nothing could be set up.
pub async fn run(adapter: &dyn Adapter, options: &Options) -> Result<Report> {
    let cases = cases::chosen(&options.only);
    let lacking: Vec<Option<String>> = cases.iter().map(|case| lacking(adapter, case)).collect();
    let able: Vec<&Case> = cases
        .iter()
        .zip(&lacking)
        .filter_map(|(case, lacking)| lacking.is_none().then_some(case))
        .collect();
    let stage = Stage::new(adapter, &options.run, options.at_once, &able).await?;
    let ready = stage.set(&able).await.context("set the cases up")?;
    let runs = able
        .iter()
        .zip(ready)
        .map(|(case, ready)| outcome(adapter, &stage, case, ready));
    let outcomes: Vec<Outcome> = stream::iter(runs).buffered(options.at_once).collect().await;
    let mut outcomes = outcomes.into_iter();
    let entries = cases.iter().zip(lacking).map(|(case, lacking)| Entry {
        row: case.row,
        name: case.name.clone(),
        outcome: match lacking {
            Some(reason) => Outcome::Skipped(reason),
            None => outcomes
                .next()
                .unwrap_or(Outcome::Skipped("it was not run".to_owned())),
        },
    });
    Ok(Report {
        server: adapter.target().url.clone(),
        entries: entries.collect(),
    })
}

/// Why a case cannot be run.
fn lacking(adapter: &dyn Adapter, case: &Case) -> Option<String> {
    let lacks = |need: Need| match need {
        Need::PlainHttp if !adapter.target().url.starts_with("http://") => {
            Some("the connection has TLS")
        }
        Need::Proxy if !adapter.target().is_proxy => {
            Some("the server does not take this host for a proxy that it trusts")
        }
        Need::Stranger if adapter.target().is_proxy => {
            Some("the server takes this host for a proxy that it trusts")
        }
        need => adapter.lacks(need),
    };
    case.needs().into_iter().find_map(lacks).map(str::to_owned)
}

async fn outcome(
    adapter: &dyn Adapter,
    stage: &Stage<'_>,
    case: &Case,
    ready: Result<Ready>,
) -> Outcome {
    let ready = match ready {
        Ok(ready) => ready,
        Err(error) => return Outcome::Fails(format!("while it was set up: {error:#}")),
    };
    let mut play = Play {
        adapter,
        stage,
        ready,
        met: BTreeSet::new(),
    };
    for (n, step) in case.steps.iter().enumerate() {
        let done = match step {
            Step::Request(request) => play.request(request).await,
            Step::Operator(act) => play.operate(*act).await,
        };
        if let Err(error) = done {
            return Outcome::Fails(format!("step {}: {error:#}", n + 1));
        }
    }
    if play.met.is_empty() {
        Outcome::Conforms
    } else {
        Outcome::Differs(play.met)
    }
}

/// A case while it runs.
struct Play<'a> {
    adapter: &'a dyn Adapter,
    stage: &'a Stage<'a>,
    ready: Ready,
    /// Differences that were met.
    met: BTreeSet<u8>,
}

impl Play<'_> {
    async fn operate(&mut self, act: Act) -> Result<()> {
        let update = || self.ready.update.as_ref().context("there is no update");
        match act {
            Act::Cancel => self.adapter.cancel(std::slice::from_ref(update()?)).await,
            Act::Quit => self.adapter.quit(update()?).await,
            Act::Find(wanted) => {
                let update = update()?;
                let mut last = None;
                let found = until("an operator sees where the update stands", async || {
                    let state = self.adapter.state(update).await?;
                    last = Some(state);
                    Ok((state == wanted).then_some(()))
                });
                let found = found.await;
                found.with_context(|| format!("it must be {wanted:?}, and is {last:?}"))
            }
            Act::Attributes(wanted) => {
                let wanted: BTreeMap<String, String> = wanted
                    .iter()
                    .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
                let (device, mut last) = (&self.ready.device.id, None);
                let found = until("an operator sees the attributes", async || {
                    let found = self.adapter.attributes(device).await?;
                    let is_so = found == wanted;
                    last = Some(found);
                    Ok(is_so.then_some(()))
                });
                let found = found.await;
                found.with_context(|| format!("they must be {wanted:?}, and are {last:?}"))
            }
            Act::AskAttributes => self.adapter.ask_attributes(&self.ready.device.id).await,
            Act::Assign(bundle, terms) => {
                let next = self.stage.assign(&self.ready.device, bundle, terms).await?;
                self.ready.names.set("next", &next.id);
                self.ready.update.get_or_insert(next);
                Ok(())
            }
        }
    }

    async fn request(&mut self, request: &Request) -> Result<()> {
        let answer = if request.is_patient {
            let mut last = None;
            let good = until("the answer is as it must be", async || {
                for answer in self.send_all(request).await? {
                    match self.judge(request, &answer) {
                        Ok(()) => return Ok(Some(answer)),
                        Err(error) => last = Some(error),
                    }
                }
                Ok(None)
            });
            match (good.await, last) {
                (Ok(answer), _) => answer,
                (Err(error), None) => return Err(error),
                (Err(error), Some(last)) => return Err(last.context(error.to_string())),
            }
        } else {
            let mut last = None;
            for answer in self.send_all(request).await? {
                self.judge(request, &answer)?;
                last = Some(answer);
            }
            let Some(last) = last else {
                bail!("it was not sent at all")
            };
            last
        };
        self.keep(request, &answer)
    }

    async fn send_all(&self, request: &Request) -> Result<Vec<Answer>> {
        let sent = (0..request.times).map(|n| self.send(request, n));
        stream::iter(sent)
            .buffered(request.at_once)
            .try_collect()
            .await
    }

    async fn send(&self, request: &Request, n: usize) -> Result<Answer> {
        let Ready { device, names, .. } = &self.ready;
        let mut names = names.clone();
        names.set("n", n.to_string());
        let path = names.fill(&request.path);
        let url = match &*path {
            "" => device.base.clone(),
            whole if whole.starts_with("http") => whole.to_owned(),
            path if path.starts_with('/') => names.fill("{server}") + path,
            query if query.starts_with('?') => format!("{}{query}", device.base),
            path => format!("{}/{path}", device.base),
        };
        let fill = |(name, value): &(String, String)| (name.clone(), names.fill(value));
        let mut headers: Vec<_> = request.headers.iter().map(fill).collect();
        if request.is_authorized {
            headers.push((AUTHORIZATION.to_string(), device.authorization.clone()));
        }
        let body = request
            .body
            .as_ref()
            .map(|body| match std::str::from_utf8(body) {
                Ok(text) => names.fill(text).into_bytes(),
                Err(_) => body.clone(),
            });
        if request.framing != Framing::Usual {
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
        Answer::of(sent).await
    }

    fn judge(&mut self, request: &Request, answer: &Answer) -> Result<()> {
        let differs = |difference| self.adapter.differs(difference);
        let mut judge = Judge {
            names: &self.ready.names,
            differs: &differs,
            met: BTreeSet::new(),
        };
        judge.judge(&request.checks, answer)?;
        let met = judge.met;
        self.met.extend(met);
        Ok(())
    }

    fn keep(&mut self, request: &Request, answer: &Answer) -> Result<()> {
        for (name, field) in [("etag", "etag"), ("modified", "last-modified")] {
            if answer.headers.contains_key(field) {
                self.ready.names.set(name, answer.header(field));
            }
        }
        for (name, pointer) in &request.kept {
            let body = answer.json()?;
            let found = body.pointer(pointer).and_then(|value| value.as_str());
            let found = found.with_context(|| format!("{pointer} must be a text: {answer}"))?;
            self.ready.names.set(name, found);
        }
        Ok(())
    }
}
