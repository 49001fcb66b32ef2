//! Rules for all resources: authentication, methods, formats, lengths, and conditional requests.

use anyhow::{Context as _, ensure};
use md5::Digest as _;
use reqwest::Method;
use tidegate_ddi_client::HttpResponse;

use super::payloads;
use crate::{
    adapter::{AssignmentOptions, Capability},
    case::{Case, DeviceState, DeviceState::*},
};

/// A resource, with a device for which it exists.
#[derive(Clone)]
struct Resource {
    row: &'static str,
    method: Method,
    path: &'static str,
    /// The request body.
    body: Option<String>,
    device_state: DeviceState,
    options: AssignmentOptions,
    capability: Option<Capability>,
}

const MODULE: &str = "softwaremodules/{module}/artifacts";

fn resources() -> Vec<Resource> {
    let get = |row, path, device_state| Resource {
        row,
        method: Method::GET,
        path,
        body: None,
        device_state,
        options: AssignmentOptions::default(),
        capability: None,
    };
    let post = |row, path, device_state, body: String| Resource {
        method: Method::POST,
        body: Some(body),
        ..get(row, path, device_state)
    };
    let requires = |capability, resource| Resource {
        capability: Some(capability),
        ..resource
    };
    let to_confirm = |resource| Resource {
        options: payloads::confirmation_required(),
        ..resource
    };
    let confirmation = |resource| requires(Capability::Confirmation, resource);
    let proceeding = payloads::feedback("proceeding", "none");
    vec![
        get("1", "", Identified),
        requires(Capability::FileList, get("2", MODULE, Proceeding)),
        get("3", "softwaremodules/{module}/artifacts/{file}", Proceeding),
        get(
            "4",
            "softwaremodules/{module}/artifacts/{file}.MD5SUM",
            Proceeding,
        ),
        get("5", "deploymentBase/{id}", Proceeding),
        post(
            "6",
            "deploymentBase/{id}/feedback",
            Proceeding,
            proceeding.clone(),
        ),
        get("7", "cancelAction/{id}", Cancelling),
        post("8", "cancelAction/{id}/feedback", Cancelling, proceeding),
        Resource {
            method: Method::PUT,
            ..post(
                "9",
                "configData",
                Identified,
                r#"{"data": {"site": "dock 7"}}"#.to_owned(),
            )
        },
        get("10", "installedBase/{id}", Succeeded),
        confirmation(get("12", "confirmationBase", Identified)),
        to_confirm(get("13", "confirmationBase/{id}", Offered)),
        to_confirm(post(
            "14",
            "confirmationBase/{id}/feedback",
            Offered,
            payloads::confirmation("denied"),
        )),
        confirmation(post(
            "15",
            "confirmationBase/activateAutoConfirm",
            Identified,
            "{}".to_owned(),
        )),
        confirmation(Resource {
            method: Method::POST,
            ..get("16", "confirmationBase/deactivateAutoConfirm", Identified)
        }),
    ]
}

impl Resource {
    fn case(&self, what: &str) -> Case {
        let Self {
            row,
            method,
            path,
            device_state,
            options,
            capability,
            ..
        } = self;
        let case = Case::new(row, &format!("{method} /{path}: {what}"), *device_state)
            .with_options(*options);
        match capability {
            Some(capability) => case.requires(*capability),
            None => case,
        }
    }

    /// A valid request.
    fn request(&self, case: Case) -> Case {
        let case = case.send(self.method.clone(), self.path);
        match &self.body {
            Some(body) => case
                .body(body.clone().into_bytes())
                .with_header("Content-Type", "application/json"),
            None => case,
        }
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = vec![
            self.request(self.case("credentials are required"))
                .unauthorized()
                .status(401)
                .empty(),
            self.other_methods(),
            self.request(self.case("200, with a length and not chunked"))
                .status(200)
                .satisfies("Content-Length", has_length),
        ];
        if self.method != Method::GET {
            cases.push(
                self.request(self.case("Accept does not matter for an empty response"))
                    .with_header("Accept", "text/html")
                    .status(200)
                    .empty(),
            );
        }
        if self.body.is_some() {
            cases.extend(self.with_body());
        } else if self.method == Method::GET && !matches!(self.row, "3" | "4") {
            cases.extend(self.read());
            cases.extend(self.conditional());
        }
        cases
    }

    /// All other methods.
    fn other_methods(&self) -> Case {
        let methods = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let other_methods = methods.into_iter().filter(|other| *other != self.method);
        other_methods.fold(self.case("other methods are not allowed"), |case, other| {
            case.send(other, self.path)
                .status(405)
                .satisfies("Allow", |response| {
                    ensure!(!response.header("allow").is_empty(), "no Allow");
                    Ok(())
                })
        })
    }

    fn read(&self) -> Vec<Case> {
        let get = |what: &str| self.case(what).get(self.path);
        vec![
            get("HAL by default")
                .status(200)
                .header("content-type", "application/hal+json"),
            get("JSON")
                .with_header("Accept", "application/json")
                .status(200)
                .header("content-type", "application/json"),
            get("CBOR")
                .with_header("Accept", "application/cbor")
                .status(200)
                .header("content-type", "application/cbor")
                .has(""),
            get("HTML is not acceptable")
                .with_header("Accept", "text/html")
                .status(406),
            get("406 if all formats have q=0")
                .with_header(
                    "Accept",
                    "application/hal+json;q=0, application/json;q=0, application/cbor;q=0",
                )
                .status(406),
            self.case("HEAD has no body")
                .head(self.path)
                .status(200)
                .header("content-type", "application/hal+json")
                .empty(),
            get("304 for the same ETag")
                .status(200)
                .satisfies("the ETag is 0 and the MD5 of the body", is_md5_of_body)
                .get(self.path)
                .with_header("If-None-Match", "{etag}")
                .status(304)
                .header("etag", "{etag}")
                .empty(),
        ]
    }

    /// Conditional requests: an unchanged representation is 304, everything else is sent.
    fn conditional(&self) -> Vec<Case> {
        let first = |what: &str| self.case(what).get(self.path).status(200);
        let again = |case: Case, tags: &str| case.get(self.path).with_header("If-None-Match", tags);
        let format =
            |case: Case, format: &str| case.with_header("Accept", &format!("application/{format}"));
        vec![
            again(first("another ETag does not match"), "\"another\"").status(200),
            again(first("one of several ETags matches"), "\"another\", {etag}")
                .status(304)
                .empty(),
            again(first("a weak ETag matches"), "W/{etag}")
                .status(304)
                .empty(),
            format(
                again(format(first("304 for CBOR"), "cbor"), "{etag}"),
                "cbor",
            )
            .status(304)
            .empty(),
            format(
                again(
                    format(first("JSON and CBOR have different ETags"), "cbor"),
                    "{etag}",
                ),
                "json",
            )
            .status(200),
        ]
    }

    fn with_body(&self) -> Vec<Case> {
        let body = self.body.clone().unwrap_or_default();
        let send = |what: &str| self.case(what).send(self.method.clone(), self.path);
        let json = |case: Case| case.with_header("Content-Type", "application/json");
        vec![
            send("HAL is not accepted")
                .body(body.clone().into_bytes())
                .with_header("Content-Type", "application/hal+json")
                .status(415),
            send("text is not accepted")
                .body(body.clone().into_bytes())
                .with_header("Content-Type", "text/plain")
                .status(415),
            send("CBOR is accepted")
                .body(payloads::to_cbor(&body))
                .with_header("Content-Type", "application/cbor")
                .status(200),
            json(send("invalid JSON is rejected").body(b"{".to_vec()))
                .error(400, "rest.body.notReadable"),
            json(send("unknown fields are ignored").body(with_more(&body).into_bytes()))
                .status(200),
        ]
    }
}

pub(super) fn cases() -> Vec<Case> {
    resources().iter().flat_map(Resource::cases).collect()
}

/// The body with additional, unknown fields.
fn with_more(body: &str) -> String {
    let inner = body.trim_start_matches('{');
    let comma = if inner == "}" { "" } else { "," };
    format!(r#"{{"id": "", "time": "soon", "more": [{{"x": null}}]{comma}{inner}"#)
}

fn has_length(response: &HttpResponse) -> anyhow::Result<()> {
    let length: usize = response
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(
        length == response.body.len(),
        "Content-Length must be {}",
        response.body.len()
    );
    ensure!(
        !response.headers.contains_key("transfer-encoding"),
        "the body is chunked"
    );
    Ok(())
}

fn is_md5_of_body(response: &HttpResponse) -> anyhow::Result<()> {
    let expected = format!("\"0{}\"", hex::encode(md5::Md5::digest(&response.body)));
    ensure!(
        response.header("etag") == expected,
        "the ETag must be {expected}"
    );
    Ok(())
}
