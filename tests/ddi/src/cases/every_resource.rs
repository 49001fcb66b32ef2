//! What is the same for all resources: who is let in, methods, formats, lengths, and answers that are not sent twice.

use anyhow::{Context as _, ensure};
use md5::Digest as _;
use reqwest::Method;

use super::say;
use crate::{
    adapter::{Need, Terms},
    answer::Answer,
    case::{Case, Standing, Standing::*},
};

/// A resource and a device that finds it.
#[derive(Clone)]
struct Resource {
    row: &'static str,
    method: Method,
    path: &'static str,
    /// What is sent to it.
    body: Option<String>,
    standing: Standing,
    terms: Terms,
    need: Option<Need>,
}

const MODULE: &str = "softwaremodules/{module}/artifacts";

fn resources() -> Vec<Resource> {
    let get = |row, path, standing| Resource {
        row,
        method: Method::GET,
        path,
        body: None,
        standing,
        terms: Terms::default(),
        need: None,
    };
    let post = |row, path, standing, body: String| Resource {
        method: Method::POST,
        body: Some(body),
        ..get(row, path, standing)
    };
    let needing = |need, resource| Resource {
        need: Some(need),
        ..resource
    };
    let to_confirm = |resource| Resource {
        terms: say::to_confirm(),
        ..resource
    };
    let confirming = |resource| needing(Need::Confirmation, resource);
    let proceeding = say::body("proceeding", "none");
    vec![
        get("1", "", Introduced),
        needing(Need::FileList, get("2", MODULE, Busy)),
        get("3", "softwaremodules/{module}/artifacts/{file}", Busy),
        get(
            "4",
            "softwaremodules/{module}/artifacts/{file}.MD5SUM",
            Busy,
        ),
        get("5", "deploymentBase/{id}", Busy),
        post(
            "6",
            "deploymentBase/{id}/feedback",
            Busy,
            proceeding.clone(),
        ),
        get("7", "cancelAction/{id}", CalledBack),
        post("8", "cancelAction/{id}/feedback", CalledBack, proceeding),
        Resource {
            method: Method::PUT,
            ..post(
                "9",
                "configData",
                Introduced,
                r#"{"data": {"site": "dock 7"}}"#.to_owned(),
            )
        },
        get("10", "installedBase/{id}", Done),
        confirming(get("12", "confirmationBase", Introduced)),
        to_confirm(get("13", "confirmationBase/{id}", Offered)),
        to_confirm(post(
            "14",
            "confirmationBase/{id}/feedback",
            Offered,
            say::answer("denied"),
        )),
        confirming(post(
            "15",
            "confirmationBase/activateAutoConfirm",
            Introduced,
            "{}".to_owned(),
        )),
        confirming(Resource {
            method: Method::POST,
            ..get("16", "confirmationBase/deactivateAutoConfirm", Introduced)
        }),
    ]
}

impl Resource {
    fn case(&self, what: &str) -> Case {
        let Self {
            row,
            method,
            path,
            standing,
            terms,
            need,
            ..
        } = self;
        let case = Case::new(row, &format!("{method} /{path}: {what}"), *standing).on(*terms);
        match need {
            Some(need) => case.needing(*need),
            None => case,
        }
    }

    /// The request as it must be.
    fn ask(&self, case: Case) -> Case {
        let case = case.send(self.method.clone(), self.path);
        match &self.body {
            Some(body) => case
                .body(body.clone().into_bytes())
                .with("Content-Type", "application/json"),
            None => case,
        }
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = vec![
            self.ask(self.case("nobody without credentials"))
                .unauthorized()
                .is(401)
                .empty(),
            self.others(),
            self.ask(self.case("200, with a length and not in chunks"))
                .is(200)
                .that("it has its length", has_length),
        ];
        if self.method != Method::GET {
            cases.push(
                self.ask(self.case("whatever is accepted, nothing is sent"))
                    .with("Accept", "text/html")
                    .is(200)
                    .empty(),
            );
        }
        if self.body.is_some() {
            cases.extend(self.written());
        } else if self.method == Method::GET && !matches!(self.row, "3" | "4") {
            cases.extend(self.read());
            cases.extend(self.known());
        }
        cases
    }

    /// Every method that it does not know.
    fn others(&self) -> Case {
        let methods = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let others = methods.into_iter().filter(|other| *other != self.method);
        others.fold(self.case("other methods are refused"), |case, other| {
            case.send(other, self.path)
                .is(405)
                .that("it says which one is not", |answer| {
                    ensure!(!answer.header("allow").is_empty(), "no Allow");
                    Ok(())
                })
        })
    }

    fn read(&self) -> Vec<Case> {
        let get = |what: &str| self.case(what).get(self.path);
        vec![
            get("HAL when nothing is said")
                .is(200)
                .header("content-type", "application/hal+json"),
            get("JSON")
                .with("Accept", "application/json")
                .is(200)
                .header("content-type", "application/json"),
            get("CBOR")
                .with("Accept", "application/cbor")
                .is(200)
                .header("content-type", "application/cbor")
                .has(""),
            get("no HTML").with("Accept", "text/html").is(406),
            get("nothing that is not wanted")
                .with(
                    "Accept",
                    "application/hal+json;q=0, application/json;q=0, application/cbor;q=0",
                )
                .is(406),
            self.case("its head without its body")
                .head(self.path)
                .is(200)
                .header("content-type", "application/hal+json")
                .empty(),
            get("an ETag by which it is not sent again")
                .is(200)
                .that("the ETag is 0 and the MD5 of the body", is_md5_of_body)
                .get(self.path)
                .with("If-None-Match", "{etag}")
                .is(304)
                .header("etag", "{etag}")
                .empty(),
        ]
    }

    /// What the device has already is not sent again, and nothing else is kept from it.
    fn known(&self) -> Vec<Case> {
        let first = |what: &str| self.case(what).get(self.path).is(200);
        let again = |case: Case, tags: &str| case.get(self.path).with("If-None-Match", tags);
        let format =
            |case: Case, format: &str| case.with("Accept", &format!("application/{format}"));
        vec![
            again(first("another's ETag is no reason"), "\"another\"").is(200),
            again(first("one ETag of several"), "\"another\", {etag}")
                .is(304)
                .empty(),
            again(first("an ETag that a proxy made weak"), "W/{etag}")
                .is(304)
                .empty(),
            format(
                again(format(first("CBOR that is known"), "cbor"), "{etag}"),
                "cbor",
            )
            .is(304)
            .empty(),
            format(
                again(
                    format(first("JSON is another answer than CBOR"), "cbor"),
                    "{etag}",
                ),
                "json",
            )
            .is(200),
        ]
    }

    fn written(&self) -> Vec<Case> {
        let body = self.body.clone().unwrap_or_default();
        let send = |what: &str| self.case(what).send(self.method.clone(), self.path);
        let json = |case: Case| case.with("Content-Type", "application/json");
        vec![
            send("HAL is not taken")
                .body(body.clone().into_bytes())
                .with("Content-Type", "application/hal+json")
                .is(415),
            send("text is not taken")
                .body(body.clone().into_bytes())
                .with("Content-Type", "text/plain")
                .is(415),
            send("CBOR is taken")
                .body(say::cbor(&body))
                .with("Content-Type", "application/cbor")
                .is(200),
            json(send("what is no JSON is refused").body(b"{".to_vec()))
                .error(400, "rest.body.notReadable"),
            json(send("unknown fields do not matter").body(with_more(&body).into_bytes())).is(200),
        ]
    }
}

pub(super) fn cases() -> Vec<Case> {
    resources().iter().flat_map(Resource::cases).collect()
}

/// The body with fields that nobody knows.
fn with_more(body: &str) -> String {
    let inner = body.trim_start_matches('{');
    let comma = if inner == "}" { "" } else { "," };
    format!(r#"{{"id": "", "time": "soon", "more": [{{"x": null}}]{comma}{inner}"#)
}

fn has_length(answer: &Answer) -> anyhow::Result<()> {
    let length: usize = answer
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(
        length == answer.body.len(),
        "Content-Length must be {}",
        answer.body.len()
    );
    ensure!(
        !answer.headers.contains_key("transfer-encoding"),
        "it comes in chunks"
    );
    Ok(())
}

fn is_md5_of_body(answer: &Answer) -> anyhow::Result<()> {
    let wanted = format!("\"0{}\"", hex::encode(md5::Md5::digest(&answer.body)));
    ensure!(answer.header("etag") == wanted, "it must be {wanted}");
    Ok(())
}
