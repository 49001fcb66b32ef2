//! What clients in the field really send, in their order, and what they need of the answers.

use anyhow::{Context as _, ensure};

use crate::{
    answer::Answer,
    bundle::APP,
    case::{Case, Standing, Standing::*},
};

const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, standing: Standing) -> Case {
    Case::new("1.5", name, standing)
}

pub(super) fn cases() -> Vec<Case> {
    [swupdate(), rauc(), zephyr(), others()].concat()
}

fn swupdate() -> Vec<Case> {
    let said = |finished: &str, execution: &str, progress: &str, words: &str| {
        format!(
            r#"{{ "id": "{{id}}", "time": "20260101T000000", "status": {{ "result": {{ "finished": "{finished}"{progress} }}, "execution": "{execution}", "details": [ "{words}" ] }} }}"#
        )
    };
    let attributes = r#"{ "id": "", "time": "20260101T000000", "status": { "result": { "finished": "success" }, "execution": "closed", "details": [ "" ] }, "data": { "hw_model": "edge" } }"#;
    let counts = r#", "progress": { "cnt": 2, "of": 5 }"#;
    vec![
        case("SWUpdate: a whole install, in its order", Offered)
            .put("configData", attributes)
            .is(200)
            .get("")
            .is(200)
            .keep("link", "/_links/deploymentBase/href")
            .get("{link}")
            .is(200)
            .get("")
            .is(200)
            .get("deploymentBase/{id}")
            .is(200)
            .keep(
                "file-link",
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            )
            .post(FEEDBACK, said("none", "proceeding", counts, "Downloading"))
            .is(200)
            .get("{file-link}")
            .is(200)
            .bytes(1000)
            .get("")
            .is(200)
            .lacks("/_links/cancelAction")
            .post(FEEDBACK, said("none", "proceeding", "", "Installing"))
            .is(200)
            .post(FEEDBACK, said("success", "closed", "", "Update successful"))
            .is(200)
            .put("configData", attributes)
            .is(200)
            .get("")
            .is(200)
            .lacks("/_links/deploymentBase"),
        case(
            "SWUpdate: a call back is answered at its own address",
            CalledBack,
        )
        .get("")
        .is(200)
        .keep("link", "/_links/cancelAction/href")
        .get("{link}")
        .is(200)
        .keep("stop", "/cancelAction/stopId")
        .post(
            "{link}/feedback",
            said("success", "closed", "", "cancellation acknowledged").replace("{id}", "{stop}"),
        )
        .is(200)
        .get("")
        .lacks("/_links/cancelAction"),
        case(
            "SWUpdate: attributes after every start, unasked",
            Introduced,
        )
        .put("configData", attributes)
        .times(3, 1)
        .is(200)
        .get("")
        .is(200)
        .lacks("/_links"),
    ]
}

fn rauc() -> Vec<Case> {
    let said = |execution: &str, finished: &str, words: &str| {
        format!(
            r#"{{"id":"{{id}}","time":"20260101T000000","status":{{"execution":"{execution}","result":{{"finished":"{finished}","progress":{{}}}},"details":["{words}"]}}}}"#
        )
    };
    vec![
        case("rauc-hawkbit-updater: attributes", Known)
            .put(
                "configData",
                r#"{"id":"","time":"20260101T000000","status":{"result":{"finished":"success"},"execution":"closed","details":[]},"data":{"product":"edge","hw_revision":"1.0"},"mode":"merge"}"#,
            )
            .is(200),
        case("rauc-hawkbit-updater: twenty steps of an install, with polls between", Busy)
            .post(FEEDBACK, said("proceeding", "none", "{n}% Copying image to rootfs.0"))
            .times(20, 1)
            .is(200)
            .get("")
            .times(5, 1)
            .is(200)
            .has("/_links/deploymentBase")
            .post(FEEDBACK, said("closed", "success", "Software bundle installed successfully."))
            .is(200)
            .get("")
            .lacks("/_links/deploymentBase"),
        case("rauc-hawkbit-updater: a download that goes on where it broke off", Busy)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with("Range", "bytes=500-")
            .is(206)
            .bytes(500)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with("Range", "bytes=1000-")
            .is(416),
        case("rauc-hawkbit-updater: what it reads of the description", Offered)
            .row("1.4")
            .get("deploymentBase/{id}")
            .is(200)
            .length("/deployment/chunks", 1)
            .length("/deployment/chunks/0/artifacts", 1)
            .has("/deployment/chunks/0/name")
            .has("/deployment/chunks/0/version")
            .has("/deployment/chunks/0/artifacts/0/size")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}"),
    ]
}

fn zephyr() -> Vec<Case> {
    vec![
        case(
            "Zephyr: eight characters of sleep, and a short link to the update",
            Offered,
        )
        .row("1.4")
        .brings(&APP)
        .get("")
        .is(200)
        .that("a short poll", |answer| {
            let body = answer.json()?;
            let sleep = body["config"]["polling"]["sleep"]
                .as_str()
                .context("sleep")?;
            ensure!(sleep.len() == 8, "{sleep}");
            is_short(
                &body["_links"]["deploymentBase"]["href"],
                "deploymentBase/",
                50,
            )
        }),
        case(
            "Zephyr: one bApp with one file, short links and a short answer",
            Offered,
        )
        .row("1.4")
        .brings(&APP)
        .get("deploymentBase/{id}")
        .is(200)
        .length("/deployment/chunks", 1)
        .json("/deployment/chunks/0/part", "bApp")
        .length("/deployment/chunks/0/artifacts", 1)
        .has("/deployment/chunks/0/artifacts/0/hashes/sha256")
        .that("a short description", |answer| {
            let body = answer.json()?;
            // With names as short as theirs are there, both pairs of links fit too.
            ensure!(answer.body.len() <= 1100, "{} bytes", answer.body.len());
            let file = &body["deployment"]["chunks"][0]["artifacts"][0];
            is_short(
                &file["_links"]["download-http"]["href"],
                "/controller/v1",
                200,
            )
        }),
        case("Zephyr: a short link to a call back", CalledBack)
            .row("1.4")
            .get("")
            .is(200)
            .that("a short poll", |answer| {
                is_short(
                    &answer.json()?["_links"]["cancelAction"]["href"],
                    "cancelAction/",
                    50,
                )
            }),
        case("Zephyr: feedback with its id as a number", Busy)
            .post(
                FEEDBACK,
                r#"{"id":{id},"status":{"execution":"closed","result":{"finished":"success"}}}"#,
            )
            .is(200),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case("update ids are decimal and fit 32 bits", Offered).row("1.4").get("deploymentBase/{id}").is(200).that(
            "the id",
            |answer| {
                let body = answer.json()?;
                let id = body["id"].as_str().context("id")?;
                ensure!(id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
                ensure!(id.parse::<i32>()? > 0, "{id}");
                Ok(())
            },
        ),
        case("hawkBit's SDK: a question mark after the id", Offered).row("1.4").get("").is(200).differs(
            14,
            |it| it.contains("/_links/deploymentBase/href", "/deploymentBase/{id}?"),
            |it| it.contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        ),
        case("hara: polls and descriptions that it knows are not sent again", Busy)
            .row("1.4")
            .get("")
            .is(200)
            .get("")
            .with("If-None-Match", "{etag}")
            .is(304)
            .get("deploymentBase/{id}")
            .is(200)
            .get("deploymentBase/{id}")
            .with("If-None-Match", "{etag}")
            .is(304),
        case("npm: the description without c", Offered).get("deploymentBase/{id}").is(200).json("/id", "{id}"),
        case("the Rust crate: attributes with a status and a mode of null", Known)
            .put(
                "configData",
                r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":[]},"mode":null,"data":{"hw_model":"edge"}}"#,
            )
            .is(200),
        case("the Rust crate: progress of any shape", Busy)
            .post(
                FEEDBACK,
                r#"{"id":"{id}","status":{"execution":"proceeding","result":{"finished":"none","progress":{"cnt":1,"of":2}},"details":[]}}"#,
            )
            .is(200),
        case("the Rust crate: feedback without c, where the link had one", Busy)
            .get("")
            .keep("link", "/_links/deploymentBase/href")
            .post(FEEDBACK, r#"{"id":"{id}","status":{"execution":"closed","result":{"finished":"success"},"details":[]}}"#)
            .is(200),
        case("the head of a file before it is fetched", Busy)
            .head("softwaremodules/{module}/artifacts/{file}")
            .is(200)
            .header("content-length", "1000"),
        case("a file is never sent in chunks", Busy)
            .get("softwaremodules/{module}/artifacts/{file}")
            .is(200)
            .that("it has its length", has_length)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with("Range", "bytes=0-99")
            .is(206)
            .that("it has its length", has_length),
    ]
}

/// From `mark` on, the link has fewer bytes than this.
fn is_short(link: &serde_json::Value, mark: &str, most: usize) -> anyhow::Result<()> {
    let href = link.as_str().context("href")?;
    let from = href.find(mark).context("the mark")?;
    ensure!(href[from..].len() < most, "{href}");
    Ok(())
}

fn has_length(answer: &Answer) -> anyhow::Result<()> {
    ensure!(
        !answer.headers.contains_key("transfer-encoding"),
        "it comes in chunks"
    );
    let length: usize = answer
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(length == answer.body.len(), "{length}");
    Ok(())
}
