//! Resource 5: the update to install.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_ddi_client::HttpResponse;

use super::payloads;
use crate::{
    bundle::{EMPTY_MODULE, TWO_MODULES, WITH_METADATA},
    case::{Case, DeviceState, DeviceState::*},
    response::DecodeBody as _,
};

const PATH: &str = "deploymentBase/{id}";
const FEEDBACK: &str = "deploymentBase/{id}/feedback";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("5", name, device_state)
}

pub(super) fn cases() -> Vec<Case> {
    [
        description(),
        contents(),
        parameters(),
        history(),
        ownership(),
    ]
    .concat()
}

fn description() -> Vec<Case> {
    vec![
        case("a complete description", Offered)
            .get(PATH)
            .status(200)
            .json("/id", "{id}")
            .json("/deployment/download", "forced")
            .json("/deployment/update", "forced")
            .lacks("/deployment/maintenanceWindow")
            .length("/deployment/chunks", 1)
            .json("/deployment/chunks/0/part", "os")
            .json("/deployment/chunks/0/name", "{module-name}")
            .json("/deployment/chunks/0/version", "2.0.0")
            .lacks("/deployment/chunks/0/encrypted")
            .lacks("/deployment/chunks/0/metadata")
            .length("/deployment/chunks/0/artifacts", 1)
            .json("/deployment/chunks/0/artifacts/0/filename", "{file}")
            .json("/deployment/chunks/0/artifacts/0/size", 1000)
            .json("/deployment/chunks/0/artifacts/0/hashes/md5", "{md5}")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha256", "{sha256}")
            .lacks("/actionHistory"),
        case("the links for plain HTTP", Proceeding)
            .get(PATH)
            .status(200)
            .json(
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}",
            )
            .json(
                "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}.MD5SUM",
            ),
        case("no links without -http", Proceeding)
            .get(PATH)
            .status(200)
            .lacks("/deployment/chunks/0/artifacts/0/_links/download")
            .lacks("/deployment/chunks/0/artifacts/0/_links/md5sum"),
        case("reading it again changes nothing", Offered)
            .get(PATH)
            .status(200)
            .get("")
            .capture("link", "/_links/deploymentBase/href")
            .get(PATH)
            .status(200)
            .get("")
            .json("/_links/deploymentBase/href", "{link}"),
    ]
}

fn contents() -> Vec<Case> {
    vec![
        case("two modules are two chunks, one with two files", Offered)
            .with_bundle(&TWO_MODULES)
            .get(PATH)
            .status(200)
            .length("/deployment/chunks", 2)
            .satisfies("parts and files", |response| {
                let mut parts = chunks(response)?
                    .iter()
                    .map(shape)
                    .collect::<Result<Vec<_>, _>>()?;
                parts.sort();
                let expected = json!([
                    ["bApp", "0.3.1", ["app one.bin", "app+two.bin"]],
                    ["os", "2.0.0", ["edge-2.0.0.bin"]]
                ]);
                ensure!(json!(parts) == expected, "{parts:?}");
                Ok(())
            }),
        case("metadata that is visible to devices", Offered)
            .with_bundle(&WITH_METADATA)
            .get(PATH)
            .status(200)
            .length("/deployment/chunks/0/metadata", 2)
            .satisfies("keys and values", |response| {
                let mut pairs = Vec::new();
                for pair in chunks(response)?[0]["metadata"]
                    .as_array()
                    .context("metadata")?
                {
                    pairs.push((
                        pair["key"].clone().to_string(),
                        pair["value"].clone().to_string(),
                    ));
                }
                pairs.sort();
                let expected = [("\"colour\"", "\"green\""), ("\"size\"", "\"xl\"")];
                let found = pairs.iter().map(|(key, value)| (&**key, &**value));
                ensure!(found.eq(expected), "{pairs:?}");
                Ok(())
            }),
        case("a module without files has an empty list", Offered)
            .with_bundle(&EMPTY_MODULE)
            .get(PATH)
            .status(200)
            .length("/deployment/chunks", 2)
            .satisfies("an empty list of files", |response| {
                let files = |chunk: &Value| chunk["artifacts"].as_array().map(Vec::len);
                let mut counts: Vec<_> = chunks(response)?.iter().map(files).collect();
                counts.sort_unstable();
                ensure!(counts == [Some(0), Some(1)], "{counts:?}");
                Ok(())
            }),
    ]
}

fn chunks(response: &HttpResponse) -> anyhow::Result<Vec<Value>> {
    let body = response.decode()?;
    body["deployment"]["chunks"]
        .as_array()
        .cloned()
        .context("chunks")
}

fn shape(chunk: &Value) -> anyhow::Result<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let files = chunk["artifacts"].as_array().context("artifacts")?;
    let files = files.iter().map(|file| text(&file["filename"]));
    let mut files = files.collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok((text(&chunk["part"])?, text(&chunk["version"])?, files))
}

fn parameters() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("c", 200),
        ("c=", 200),
        ("c=0", 200),
        ("c=-2147483648", 200),
        ("c=2147483647", 200),
        ("c=2147483648", 400),
        ("c=abc", 400),
        ("c=1.5", 400),
        ("actionHistory", 200),
        ("actionHistory=x", 400),
        ("actionHistory=2147483648", 400),
        ("x=y&c=1", 200),
    ]
    .into_iter()
    .map(|(query, status)| {
        case(&format!("?{query}"), Offered)
            .get(&format!("{PATH}?{query}"))
            .status(status)
    })
    .collect();
    cases.push(
        case("another c gives the same response", Offered)
            .get(&format!("{PATH}?c=1"))
            .status(200)
            .get(&format!("{PATH}?c=-7"))
            .with_header("If-None-Match", "{etag}")
            .status(304),
    );
    cases
}

fn history() -> Vec<Case> {
    let with_messages = |name: &str| {
        let fifty: Vec<String> = (0..50).map(|n| format!("{{n}}-{n}")).collect();
        let fifty: Vec<&str> = fifty.iter().map(String::as_str).collect();
        case(name, Proceeding)
            .post(
                FEEDBACK,
                payloads::feedback_with_messages("proceeding", "none", &fifty),
            )
            .times(3, 1)
            .status(200)
    };
    let mut cases: Vec<Case> = [
        ("1", 1),
        ("5", 5),
        ("99", 99),
        ("100", 100),
        ("101", 100),
        ("1000", 100),
        ("-1", 100),
        ("-2147483648", 100),
    ]
    .into_iter()
    .map(|(requested, count)| {
        with_messages(&format!("?actionHistory={requested} of 150 messages"))
            .get(&format!("{PATH}?actionHistory={requested}"))
            .status(200)
            .length("/actionHistory/messages", count)
    })
    .collect();
    cases.extend(
        ["", "?actionHistory=", "?actionHistory=0"]
            .into_iter()
            .map(|query| {
                with_messages(&format!(
                    "no history for {}",
                    if query.is_empty() { "nothing" } else { query }
                ))
                .get(&format!("{PATH}{query}"))
                .status(200)
                .lacks("/actionHistory")
            }),
    );
    cases.extend([
        case("no history without feedback", Offered)
            .get(&format!("{PATH}?actionHistory=10"))
            .status(200)
            .lacks("/actionHistory"),
        case(
            "the newest message first, by the device's own time",
            Proceeding,
        )
        .post(FEEDBACK, payloads::feedback_at(2_000_000_000_000, "second"))
        .status(200)
        .post(FEEDBACK, payloads::feedback_at(1_000_000_000_000, "first"))
        .status(200)
        .post(FEEDBACK, payloads::feedback_at(3_000_000_000_000, "third"))
        .status(200)
        .get(&format!("{PATH}?actionHistory=10"))
        .status(200)
        .json(
            "/actionHistory/messages",
            json!(["third", "second", "first"]),
        )
        .get(&format!("{PATH}?actionHistory=2"))
        .json("/actionHistory/messages", json!(["third", "second"])),
        case("feedback without details is not a message", Proceeding)
            .post(
                FEEDBACK,
                payloads::feedback_with_messages("proceeding", "none", &["one"]),
            )
            .status(200)
            .post(FEEDBACK, payloads::feedback("resumed", "none"))
            .status(200)
            .post(FEEDBACK, payloads::feedback("downloaded", "none"))
            .status(200)
            .get(&format!("{PATH}?actionHistory=1"))
            .status(200)
            .json("/actionHistory/messages", json!(["one"])),
        case("the history has the update's status", Proceeding)
            .post(
                FEEDBACK,
                payloads::feedback_with_messages("proceeding", "none", &["one"]),
            )
            .status(200)
            .get(&format!("{PATH}?actionHistory=1"))
            .status(200)
            .differs(
                6,
                |it| it.json("/actionHistory/status", "RETRIEVED"),
                |it| it.json("/actionHistory/status", "RUNNING"),
            ),
    ]);
    cases
}

fn ownership() -> Vec<Case> {
    vec![
        case("a succeeded update can still be read", Succeeded)
            .get(PATH)
            .status(200)
            .json("/id", "{id}"),
        case("reading a succeeded update does not change it", Succeeded)
            .get(PATH)
            .status(200)
            .get("")
            .status(200)
            .differs(
                1,
                |it| it.lacks("/_links/deploymentBase"),
                |it| {
                    it.has("/_links/installedBase")
                        .lacks("/_links/deploymentBase")
                },
            ),
        case("a failed update can still be read", Failed)
            .get(PATH)
            .status(200),
        case("a cancelling update is not found", Cancelling)
            .get(PATH)
            .status(404),
        case("a cancelled update is not found", Cancelled)
            .get(PATH)
            .status(404),
        case("an update of another device is not found", Identified)
            .get("deploymentBase/{other}")
            .status(404),
        case("an unknown update is not found", Identified)
            .get("deploymentBase/2147483647")
            .status(404),
        case("an id beyond 32 bits", Identified)
            .get("deploymentBase/2147483648")
            .status_in(&[400, 404]),
        case("an id that is not a number", Identified)
            .get("deploymentBase/abc")
            .status_in(&[400, 404]),
        case("an unknown device has no updates", Unknown)
            .get("deploymentBase/{other}")
            .status(404),
    ]
}
