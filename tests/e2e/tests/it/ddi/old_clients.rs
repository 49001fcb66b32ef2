//! What clients in the field really send, byte for byte, and what they need of the answers.

use anyhow::{Context as _, ensure};
use tidegate_e2e::Answer;

use super::case::{Case, Standing::*, case};

const FEEDBACK: &str = "deploymentBase/{id}/feedback";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("SWUpdate: configData with id, time and status", Known)
            .put(
                "configData",
                r#"{ "id": "", "time": "20260101T000000", "status": { "result": { "finished": "success" }, "execution": "closed", "details": [ "" ] }, "data": { "hw_model": "edge" } }"#,
            )
            .is(200),
        case("SWUpdate: progress with counts", Busy)
            .post(
                FEEDBACK,
                r#"{ "id": "{id}", "time": "20260101T000000", "status": { "result": { "finished": "none", "progress": { "cnt": 2, "of": 5 } }, "execution": "proceeding", "details": [ "Downloading" ] } }"#,
            )
            .is(200),
        case("SWUpdate: a call back is closed at its own address", CalledBack)
            .get("cancelAction/{id}")
            .is(200)
            .post(
                "cancelAction/{id}/feedback",
                r#"{ "id": "{id}", "time": "20260101T000000", "status": { "result": { "finished": "success" }, "execution": "closed", "details": [ "cancellation acknowledged" ] } }"#,
            )
            .is(200)
            .get("")
            .lacks("/_links/cancelAction"),
        case("rauc-hawkbit-updater: attributes", Known)
            .put(
                "configData",
                r#"{"id":"","time":"20260101T000000","status":{"result":{"finished":"success"},"execution":"closed","details":[]},"data":{"product":"edge","hw_revision":"1.0"},"mode":"merge"}"#,
            )
            .is(200),
        case("rauc-hawkbit-updater: the progress of an install", Busy)
            .post(
                FEEDBACK,
                r#"{"id":"{id}","time":"20260101T000000","status":{"execution":"proceeding","result":{"finished":"none","progress":{}},"details":["40% Checking bundle"]}}"#,
            )
            .is(200)
            .post(
                FEEDBACK,
                r#"{"id":"{id}","time":"20260101T000000","status":{"execution":"closed","result":{"finished":"success","progress":{}},"details":["Software bundle installed successfully."]}}"#,
            )
            .is(200),
        case("the Rust crate: id as text, no progress, mode of null", Known)
            .put(
                "configData",
                r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":[]},"mode":null,"data":{"hw_model":"edge"}}"#,
            )
            .is(200),
        case("Zephyr: id as a number", Busy)
            .post(FEEDBACK, r#"{"id":"{id}","status":{"execution":"closed","result":{"finished":"success"}}}"#)
            .is(200),
        case("an id of another update in the body does not matter", Busy)
            .post(FEEDBACK, r#"{"id":12345,"status":{"execution":"closed","result":{"finished":"success"}}}"#)
            .is(200)
            .get("installedBase/{id}")
            .is(200),
        case("npm: deploymentBase without c", Offered).get("deploymentBase/{id}").is(200),
        case("Zephyr: eight characters of sleep, short links and a short answer", Offered)
            .get("")
            .that("a short poll", |answer| {
                let body = answer.json()?;
                let sleep = body["config"]["polling"]["sleep"].as_str().context("sleep")?;
                ensure!(sleep.len() == 8, "{sleep}");
                let href = body["_links"]["deploymentBase"]["href"].as_str().context("href")?;
                let end = href.find("deploymentBase/").context("the link")?;
                ensure!(href[end..].len() < 50, "{href}");
                Ok(())
            })
            .get("deploymentBase/{id}")
            .that("a short description", |answer| {
                ensure!(answer.body.len() <= 1400, "{} bytes", answer.body.len());
                let links = &answer.json()?["deployment"]["chunks"][0]["artifacts"][0]["_links"];
                let href = links["download-http"]["href"].as_str().context("href")?.to_owned();
                let from = href.find("/controller/v1").context("the path")?;
                ensure!(href[from..].len() < 200, "{href}");
                Ok(())
            }),
        case("update ids are decimal and fit 32 bits", Offered).get("deploymentBase/{id}").that("the id", |answer| {
            let id = answer.json()?["id"].as_str().context("id")?.parse::<i32>()?;
            ensure!(id > 0);
            Ok(())
        }),
        case("Expect: 100-continue is answered", Busy)
            .post(FEEDBACK, r#"{"status":{"execution":"proceeding","result":{"finished":"none"}}}"#)
            .with("Expect", "100-continue")
            .is(200),
        case("no answer is chunked", Busy)
            .get("")
            .is(200)
            .that("a poll", is_not_chunked)
            .get("deploymentBase/{id}")
            .that("a description", is_not_chunked)
            .get("softwaremodules/{module}/artifacts/{file}")
            .that("a file", is_not_chunked),
    ]
}

fn is_not_chunked(answer: &Answer) -> anyhow::Result<()> {
    ensure!(
        !answer.headers.contains_key("transfer-encoding"),
        "it is chunked"
    );
    ensure!(
        answer.headers.contains_key("content-length"),
        "it has no length"
    );
    Ok(())
}
