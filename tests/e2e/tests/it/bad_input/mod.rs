//! Bad requests: each is rejected with the right status, problem code and field, and changes nothing.

mod campaign_commands;
mod campaign_creation;
mod devices;
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
use tidegate_e2e::{
    FirmwareForm, HttpResponse, IsolatedTenant, RestClient, RestResponse as _, both_databases,
    files_below,
};

both_databases!(every_bad_request_is_rejected);

/// A request that must be rejected.
pub(crate) struct BadRequest {
    name: String,
    method: Method,
    /// Below `/api/v1`; `{firmware}`, `{beta}`, `{created}`, `{waiting}` and `{running}` stand for ids.
    path: String,
    body: Body,
    /// The caller; an administrator by default.
    caller: Caller,
    status: u16,
    code: &'static str,
    /// The field that the problem names.
    field: Option<String>,
}

#[derive(Clone, Copy)]
enum Caller {
    Admin,
    Viewer,
    Publisher,
    Anonymous,
}

enum Body {
    None,
    Json(Value),
    Text(&'static str, Vec<u8>),
    Firmware(FirmwareForm),
    Component(Vec<u8>),
}

impl BadRequest {
    fn new(name: &str, method: Method, path: &str, status: u16, code: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            method,
            path: path.to_owned(),
            body: Body::None,
            caller: Caller::Admin,
            status,
            code,
            field: None,
        }
    }

    fn get(name: &str, path: &str, status: u16, code: &'static str) -> Self {
        Self::new(name, Method::GET, path, status, code)
    }

    fn post(name: &str, path: &str, status: u16, code: &'static str) -> Self {
        Self::new(name, Method::POST, path, status, code)
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

    fn with_caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }
}

/// A tenant with firmware and campaigns, whose ids the requests use.
struct BadInputFixture {
    tenant: IsolatedTenant,
    ids: Vec<(&'static str, i64)>,
}

impl BadInputFixture {
    async fn set_up(tenant: IsolatedTenant) -> Result<Self> {
        tenant.create_devices("edge", 2).await?;
        let firmware = tenant.upload_firmware("1.1.0").await?;
        let beta = FirmwareForm::new("1.2.0-beta.1").with(json!({ "is_beta": true }));
        let beta = beta.upload(&tenant.publisher).await?;
        let created = tenant.create_campaign(firmware, json!({})).await?;
        let waiting = tenant
            .create_campaign(firmware, json!({ "requires_approval": true }))
            .await?;
        let running = tenant.start_campaign(firmware, json!({})).await?;
        tenant
            .wait_for_counts(running, json!({ "in_progress_devices": 2 }))
            .await?;
        let ids = vec![
            ("{firmware}", firmware),
            ("{beta}", beta),
            ("{created}", created),
            ("{waiting}", waiting),
            ("{running}", running),
        ];
        Ok(Self { tenant, ids })
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

    fn request(&self, bad_request: &BadRequest) -> Result<RequestBuilder> {
        let rest = match bad_request.caller {
            Caller::Admin => self.tenant.admin.clone(),
            Caller::Viewer => self.tenant.viewer.clone(),
            Caller::Publisher => self.tenant.publisher.clone(),
            Caller::Anonymous => {
                RestClient::anonymous(self.tenant.server.http.clone(), &self.tenant.server.url)
            }
        };
        let request = rest.request(bad_request.method.clone(), &self.fill(&bad_request.path));
        Ok(match &bad_request.body {
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

    /// Everything that a rejected request could have changed: lists, statistics, files.
    async fn snapshot(&self) -> Result<Vec<(&'static str, Value)>> {
        let rest = &self.tenant.viewer;
        let mut all = Vec::new();
        for list in ["firmware", "campaigns", "devices", "plugins"] {
            let mut items = rest.list(list).await?;
            for item in &mut items {
                remove_volatile_fields(item);
            }
            all.push((list, items.into()));
        }
        all.push((
            "stats",
            rest.get("stats").await?.expect_status(200)?.json()?,
        ));
        let files = files_below(&self.tenant.server.dir().join("artifacts"));
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

/// Removes what changes by itself: last-seen times, the usage of plugins, and the explanation of the latest
/// decision.
fn remove_volatile_fields(item: &mut Value) {
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

async fn every_bad_request_is_rejected(tenant: IsolatedTenant) -> Result<()> {
    let fixture = BadInputFixture::set_up(tenant).await?;
    let cases: Vec<BadRequest> = [
        requests::cases(),
        campaign_creation::cases(&fixture),
        campaign_commands::cases(),
        firmware::cases(),
        devices::cases(),
        plugins::cases()?,
    ]
    .into_iter()
    .flatten()
    .collect();
    ensure!(cases.len() > 100, "there are only {} requests", cases.len());
    let mut report = String::new();
    let mut before = fixture.snapshot().await?;
    for request in &cases {
        let response = HttpResponse::fetch(fixture.request(request)?).await?;
        if let Err(error) = check_response(request, response) {
            let _ = write!(report, "\n- {}: {error:#}", request.name);
        }
        let after = fixture.snapshot().await?;
        for ((name, before), (_, after)) in before.iter().zip(&after) {
            if before != after {
                let _ = write!(
                    report,
                    "\n- {} changed {name}:\n  {before}\n  {after}",
                    request.name
                );
            }
        }
        before = after;
    }
    if !report.is_empty() {
        bail!("of {} requests these failed:{report}", cases.len());
    }
    Ok(())
}

fn check_response(request: &BadRequest, response: HttpResponse) -> Result<()> {
    if request.status == 413 {
        // The rest of the body must not be read as the next request.
        ensure!(
            response.header("connection") == "close",
            "the connection is kept alive: {response}"
        );
    }
    let problem = response.expect_problem(request.status, request.code)?;
    if let Some(field) = &request.field {
        let errors = problem["errors"].as_array().into_iter().flatten();
        let named = errors.filter(|error| error["field"] == *field).count();
        ensure!(named > 0, "the problem does not name {field}: {problem}");
    }
    Ok(())
}

/// A valid digest of no component.
fn unknown_digest() -> Digest {
    Digest::of(b"nothing has this digest")
}
