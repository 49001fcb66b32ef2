//! Bad input: every refusal has its status, its code and the field that it is about, and changes nothing.

mod campaigns;
mod devices;
mod drafts;
mod firmware;
mod garbage;
mod plugins;
mod requests;

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};
use reqwest::{
    Method, RequestBuilder,
    header::CONTENT_TYPE,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tidegate_core::id::Digest;
use tidegate_e2e::{Alone, Answer, FirmwareForm, Rest, both_databases, files_below};

both_databases!(every_refusal);

/// A request that must be refused.
pub(crate) struct Bad {
    what: String,
    method: Method,
    /// Below `/api/v1`; `{firmware}`, `{beta}`, `{created}`, `{waiting}` and `{running}` stand for ids.
    path: String,
    body: Body,
    /// Who asks; anybody but an administrator has to be named.
    who: Who,
    status: u16,
    code: &'static str,
    /// The field that the refusal names.
    field: Option<String>,
}

#[derive(Clone, Copy)]
enum Who {
    Admin,
    Viewer,
    Publisher,
    Nobody,
}

enum Body {
    None,
    Json(Value),
    Text(&'static str, Vec<u8>),
    Firmware(FirmwareForm),
    Component(Vec<u8>),
}

impl Bad {
    fn new(what: &str, method: Method, path: &str, status: u16, code: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            method,
            path: path.to_owned(),
            body: Body::None,
            who: Who::Admin,
            status,
            code,
            field: None,
        }
    }

    fn get(what: &str, path: &str, status: u16, code: &'static str) -> Self {
        Self::new(what, Method::GET, path, status, code)
    }

    fn post(what: &str, path: &str, status: u16, code: &'static str) -> Self {
        Self::new(what, Method::POST, path, status, code)
    }

    fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    fn text(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Text(kind, body.into());
        self
    }

    fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    fn by(mut self, who: Who) -> Self {
        self.who = who;
        self
    }
}

/// What is there before anything is refused.
struct Scene {
    lab: Alone,
    ids: Vec<(&'static str, i64)>,
}

impl Scene {
    async fn set(lab: Alone) -> Result<Self> {
        lab.fleet("edge", 2).await?;
        let firmware = lab.firmware("1.1.0").await?;
        let beta = FirmwareForm::new("1.2.0-beta.1").with(json!({ "is_beta": true }));
        let beta = beta.upload(&lab.publisher).await?;
        let created = lab.campaign(firmware, json!({})).await?;
        let waiting = lab
            .campaign(firmware, json!({ "requires_approval": true }))
            .await?;
        let running = lab.start(firmware, json!({})).await?;
        lab.until_counts(running, json!({ "in_progress_devices": 2 }))
            .await?;
        let ids = vec![
            ("{firmware}", firmware),
            ("{beta}", beta),
            ("{created}", created),
            ("{waiting}", waiting),
            ("{running}", running),
        ];
        Ok(Self { lab, ids })
    }

    fn id(&self, name: &str) -> i64 {
        self.ids
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(0, |(_, id)| *id)
    }

    fn fill(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| {
            text.replace(name, &id.to_string())
        })
    }

    fn request(&self, bad: &Bad) -> Result<RequestBuilder> {
        let rest = match bad.who {
            Who::Admin => self.lab.admin.clone(),
            Who::Viewer => self.lab.viewer.clone(),
            Who::Publisher => self.lab.publisher.clone(),
            Who::Nobody => Rest::anonymous(self.lab.server.http.clone(), &self.lab.server.url),
        };
        let request = rest.request(bad.method.clone(), &self.fill(&bad.path));
        Ok(match &bad.body {
            Body::None => request,
            Body::Json(body) => request.json(body),
            Body::Text(kind, body) => request.header(CONTENT_TYPE, *kind).body(body.clone()),
            Body::Firmware(firmware) => request.multipart(firmware.form()?),
            Body::Component(bytes) => {
                let part = Part::bytes(bytes.clone()).file_name("plugin.wasm");
                request.multipart(Form::new().part("component", part))
            }
        })
    }

    /// Everything that a refusal could have changed: lists, figures, files.
    async fn everything(&self) -> Result<Vec<(&'static str, Value)>> {
        let rest = &self.lab.viewer;
        let mut all = Vec::new();
        for list in ["firmware", "campaigns", "devices", "plugins"] {
            let mut items = rest.list(list).await?;
            for item in &mut items {
                forget_what_moves_by_itself(item);
            }
            all.push((list, items.into()));
        }
        all.push(("stats", rest.get("stats").await?.is(200)?.json()?));
        let files = files_below(&self.lab.server.folder().join("artifacts"));
        all.push((
            "files",
            files
                .into_iter()
                .map(|file| file.display().to_string())
                .collect(),
        ));
        Ok(all)
    }
}

/// Last-seen times are written when their batch is, what plugins cost as they are asked, and what a strategy says when
/// it is asked again.
fn forget_what_moves_by_itself(item: &mut Value) {
    let Some(fields) = item.as_object_mut() else {
        return;
    };
    fields.remove("last_seen");
    fields.remove("explain");
    for revision in fields
        .get_mut("revisions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(revision) = revision.as_object_mut() {
            revision.remove("usage");
        }
    }
}

async fn every_refusal(lab: Alone) -> Result<()> {
    let scene = Scene::set(lab).await?;
    let cases: Vec<Bad> = [
        requests::cases(),
        drafts::cases(&scene),
        campaigns::cases(),
        firmware::cases(),
        devices::cases(),
        plugins::cases()?,
    ]
    .into_iter()
    .flatten()
    .collect();
    ensure!(cases.len() > 100, "there are only {} cases", cases.len());
    let mut report = String::new();
    let mut before = scene.everything().await?;
    for bad in &cases {
        let answer = Answer::of(scene.request(bad)?).await?;
        if let Err(error) = judge(bad, answer) {
            let _ = write!(report, "\n- {}: {error:#}", bad.what);
        }
        let after = scene.everything().await?;
        for ((name, before), (_, after)) in before.iter().zip(&after) {
            if before != after {
                let _ = write!(
                    report,
                    "\n- {} changed {name}:\n  {before}\n  {after}",
                    bad.what
                );
            }
        }
        before = after;
    }
    if !report.is_empty() {
        bail!("of {} cases these failed:{report}", cases.len());
    }
    Ok(())
}

fn judge(bad: &Bad, answer: Answer) -> Result<()> {
    if bad.status == 413 {
        // What of the body is still on its way must not be taken for the next request.
        ensure!(
            answer.header("connection") == "close",
            "the connection is kept: {answer}"
        );
    }
    let problem = answer.problem(bad.status, bad.code)?;
    if let Some(field) = &bad.field {
        let errors = problem["errors"].as_array().into_iter().flatten();
        let named = errors.filter(|error| error["field"] == *field).count();
        ensure!(named > 0, "{field} is not named: {problem}");
    }
    Ok(())
}

/// The name of something that is as good as any, and not there.
fn nowhere() -> Digest {
    Digest::of(b"nothing has this digest")
}
