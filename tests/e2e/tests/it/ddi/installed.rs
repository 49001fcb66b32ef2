//! Resource 10: what is installed.

use super::case::{Case, Standing::*, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("what is installed is described as it was offered", Done)
            .get("installedBase/{id}")
            .is(200)
            .json("/id", "{id}")
            .json("/deployment/chunks/0/version", "2.0.0")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}")
            .has("/deployment/chunks/0/artifacts/0/_links/download-http/href")
            .lacks("/actionHistory"),
        case("with its history, for whoever asks", Done)
            .get("installedBase/{id}?actionHistory=5")
            .is(200),
        case("looking at it changes nothing", Done)
            .get("installedBase/{id}")
            .is(200)
            .get("installedBase/{id}")
            .with("If-None-Match", "{etag}")
            .is(304),
        case("what is open is not installed", Busy)
            .get("installedBase/{id}")
            .is(404),
        case("what is called back is not installed", CalledBack)
            .get("installedBase/{id}")
            .is(404),
        case("what was called back is not installed", Cancelled)
            .get("installedBase/{id}")
            .is(404),
        case("what another device installed is not here", Introduced)
            .get("installedBase/{other}")
            .is(404),
        case(
            "reporting an old version again brings no offer in a loop",
            Done,
        )
        .put("configData", r#"{"data": {"sw_version": "1.0.0"}}"#)
        .is(200)
        .get("")
        .is(200)
        .lacks("/_links/deploymentBase"),
    ]
}
