//! Requests of real clients, in their order, and what these clients require of the responses.

use anyhow::{Context as _, ensure};
use tidegate_ddi_client::HttpResponse;

use crate::{
    bundle::ZEPHYR_APP,
    case::{Case, DeviceState, DeviceState::*},
    response::DecodeBody as _,
    zephyr::ZephyrFile,
};

const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("1.5", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [swupdate(), rauc(), zephyr(), other_clients()].concat()
}

fn swupdate() -> Vec<Case> {
    let feedback = |finished: &str, execution: &str, progress: &str, words: &str| {
        format!(
            r#"{{ "id": "{{id}}", "time": "20260101T000000", "status": {{ "result": {{ "finished": "{finished}"{progress} }}, "execution": "{execution}", "details": [ "{words}" ] }} }}"#
        )
    };
    let attributes = r#"{ "id": "", "time": "20260101T000000", "status": { "result": { "finished": "success" }, "execution": "closed", "details": [ "" ] }, "data": { "hw_model": "edge" } }"#;
    let counts = r#", "progress": { "cnt": 2, "of": 5 }"#;
    vec![
        case("SWUpdate: a complete installation", Offered)
            .put("configData", attributes)
            .status(200)
            .get("")
            .status(200)
            .capture("link", "/_links/deploymentBase/href")
            .get("{link}")
            .status(200)
            .get("")
            .status(200)
            .get("deploymentBase/{id}")
            .status(200)
            .capture(
                "file-link",
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            )
            .post(
                FEEDBACK,
                feedback("none", "proceeding", counts, "Downloading"),
            )
            .status(200)
            .get("{file-link}")
            .status(200)
            .bytes(1000)
            .get("")
            .status(200)
            .lacks("/_links/cancelAction")
            .post(FEEDBACK, feedback("none", "proceeding", "", "Installing"))
            .status(200)
            .post(
                FEEDBACK,
                feedback("success", "closed", "", "Update successful"),
            )
            .status(200)
            .put("configData", attributes)
            .status(200)
            .get("")
            .status(200)
            .lacks("/_links/deploymentBase"),
        case(
            "SWUpdate: a cancellation is confirmed at its own address",
            Cancelling,
        )
        .get("")
        .status(200)
        .capture("link", "/_links/cancelAction/href")
        .get("{link}")
        .status(200)
        .capture("stop", "/cancelAction/stopId")
        .post(
            "{link}/feedback",
            feedback("success", "closed", "", "cancellation acknowledged")
                .replace("{id}", "{stop}"),
        )
        .status(200)
        .get("")
        .lacks("/_links/cancelAction"),
        case(
            "SWUpdate: unrequested attributes after every start",
            Identified,
        )
        .put("configData", attributes)
        .times(3, 1)
        .status(200)
        .get("")
        .status(200)
        .lacks("/_links"),
    ]
}

fn rauc() -> Vec<Case> {
    let feedback = |execution: &str, finished: &str, words: &str| {
        format!(
            r#"{{"id":"{{id}}","time":"20260101T000000","status":{{"execution":"{execution}","result":{{"finished":"{finished}","progress":{{}}}},"details":["{words}"]}}}}"#
        )
    };
    vec![
        case("rauc-hawkbit-updater: attributes", Registered)
            .put(
                "configData",
                r#"{"id":"","time":"20260101T000000","status":{"result":{"finished":"success"},"execution":"closed","details":[]},"data":{"product":"edge","hw_revision":"1.0"},"mode":"merge"}"#,
            )
            .status(200),
        case("rauc-hawkbit-updater: an installation in twenty steps, then polls", Proceeding)
            .post(FEEDBACK, feedback("proceeding", "none", "{n}% Copying image to rootfs.0"))
            .times(20, 1)
            .status(200)
            .get("")
            .times(5, 1)
            .status(200)
            .has("/_links/deploymentBase")
            .post(FEEDBACK, feedback("closed", "success", "Software bundle installed successfully."))
            .status(200)
            .get("")
            .lacks("/_links/deploymentBase"),
        case("rauc-hawkbit-updater: a download is resumed", Proceeding)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with_header("Range", "bytes=500-")
            .status(206)
            .bytes(500)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with_header("Range", "bytes=1000-")
            .status(416),
        case("rauc-hawkbit-updater: the fields that it reads", Offered)
            .row("1.4")
            .get("deploymentBase/{id}")
            .status(200)
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
            "Zephyr: sleep has eight characters, and the link to the update is short",
            Offered,
        )
        .row("1.4")
        .with_bundle(&ZEPHYR_APP)
        .get("")
        .status(200)
        .satisfies("the poll is short", |response| {
            let body = response.decode()?;
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
            "Zephyr: one bApp with one file, short links and a short response",
            Offered,
        )
        .row("1.4")
        .with_bundle(&ZEPHYR_APP)
        .get("deploymentBase/{id}")
        .status(200)
        .length("/deployment/chunks", 1)
        .json("/deployment/chunks/0/part", "bApp")
        .length("/deployment/chunks/0/artifacts", 1)
        .has("/deployment/chunks/0/artifacts/0/hashes/sha256")
        .satisfies("the description is short", |response| {
            let body = response.decode()?;
            ensure!(response.body.len() < 1000, "{} bytes", response.body.len());
            let file = &body["deployment"]["chunks"][0]["artifacts"][0];
            is_short(
                &file["_links"]["download-http"]["href"],
                "/controller/v1",
                200,
            )
        }),
        case("Zephyr: no member that its parser does not know", Offered)
            .row("1.4")
            .with_bundle(&ZEPHYR_APP)
            .get("deploymentBase/{id}")
            .status(200)
            .satisfies("Zephyr reads it", |response| {
                let file = ZephyrFile::from_deployment(&response.body)?;
                ensure!(file.size == 1000, "{file:?}");
                Ok(())
            }),
        case("Zephyr: a short link to a cancellation", Cancelling)
            .row("1.4")
            .get("")
            .status(200)
            .satisfies("the poll is short", |response| {
                is_short(
                    &response.decode()?["_links"]["cancelAction"]["href"],
                    "cancelAction/",
                    50,
                )
            }),
        case("Zephyr: feedback with a numeric id", Proceeding)
            .post(
                FEEDBACK,
                r#"{"id":{id},"status":{"execution":"closed","result":{"finished":"success"}}}"#,
            )
            .status(200),
    ]
}

fn other_clients() -> Vec<Case> {
    vec![
        case("update ids are decimal and fit 32 bits", Offered).row("1.4").get("deploymentBase/{id}").status(200).satisfies(
            "the id",
            |response| {
                let body = response.decode()?;
                let id = body["id"].as_str().context("id")?;
                ensure!(id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
                ensure!(id.parse::<i32>()? > 0, "{id}");
                Ok(())
            },
        ),
        case("hawkBit's SDK: a question mark after the id", Offered).row("1.4").get("").status(200).differs(
            13,
            |it| it.contains("/_links/deploymentBase/href", "/deploymentBase/{id}?"),
            |it| it.contains("/_links/deploymentBase/href", "/deploymentBase/{id}?c="),
        ),
        case("hara: unchanged polls and descriptions are 304", Proceeding)
            .row("1.4")
            .get("")
            .status(200)
            .get("")
            .with_header("If-None-Match", "{etag}")
            .status(304)
            .get("deploymentBase/{id}")
            .status(200)
            .get("deploymentBase/{id}")
            .with_header("If-None-Match", "{etag}")
            .status(304),
        case("npm: the description without c", Offered).get("deploymentBase/{id}").status(200).json("/id", "{id}"),
        case("the Rust crate: attributes with a status and a mode of null", Registered)
            .put(
                "configData",
                r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":[]},"mode":null,"data":{"hw_model":"edge"}}"#,
            )
            .status(200),
        case("the Rust crate: progress of any shape", Proceeding)
            .post(
                FEEDBACK,
                r#"{"id":"{id}","status":{"execution":"proceeding","result":{"finished":"none","progress":{"cnt":1,"of":2}},"details":[]}}"#,
            )
            .status(200),
        case("the Rust crate: feedback without c, where the link had one", Proceeding)
            .get("")
            .capture("link", "/_links/deploymentBase/href")
            .post(FEEDBACK, r#"{"id":"{id}","status":{"execution":"closed","result":{"finished":"success"},"details":[]}}"#)
            .status(200),
        case("HEAD of a file before its download", Proceeding)
            .head("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .header("content-length", "1000"),
        case("a file is never sent in chunks", Proceeding)
            .get("softwaremodules/{module}/artifacts/{file}")
            .status(200)
            .satisfies("Content-Length", has_length)
            .get("softwaremodules/{module}/artifacts/{file}")
            .with_header("Range", "bytes=0-99")
            .status(206)
            .satisfies("Content-Length", has_length),
    ]
}

/// Fails unless the link is shorter than `most` bytes from `mark` on.
fn is_short(link: &serde_json::Value, mark: &str, most: usize) -> anyhow::Result<()> {
    let href = link.as_str().context("href")?;
    let from = href
        .find(mark)
        .with_context(|| format!("the link does not contain {mark}"))?;
    ensure!(href[from..].len() < most, "{href}");
    Ok(())
}

fn has_length(response: &HttpResponse) -> anyhow::Result<()> {
    ensure!(
        !response.headers.contains_key("transfer-encoding"),
        "the body is chunked"
    );
    let length: usize = response
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(length == response.body.len(), "{length}");
    Ok(())
}
