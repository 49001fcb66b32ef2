//! Resource 5: what is to be installed.

use super::{
    case::{Case, Standing::*, case},
    feedback,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("an update is described whole", Offered)
            .get("deploymentBase/{id}")
            .is(200)
            .json("/id", "{id}")
            .json("/deployment/download", "forced")
            .json("/deployment/update", "forced")
            .lacks("/deployment/maintenanceWindow")
            .length("/deployment/chunks", 1)
            .json("/deployment/chunks/0/part", "os")
            .json("/deployment/chunks/0/name", "edge-os")
            .json("/deployment/chunks/0/version", "2.0.0")
            .lacks("/deployment/chunks/0/encrypted")
            .length("/deployment/chunks/0/artifacts", 1)
            .json("/deployment/chunks/0/artifacts/0/filename", "{file}")
            .json("/deployment/chunks/0/artifacts/0/size", 1000)
            .json("/deployment/chunks/0/artifacts/0/hashes/md5", "{md5}")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha1", "{sha1}")
            .json("/deployment/chunks/0/artifacts/0/hashes/sha256", "{sha256}")
            .lacks("/actionHistory"),
        case("both pairs of links are there", Busy)
            .get("deploymentBase/{id}")
            .is(200)
            .json(
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}",
            )
            .json(
                "/deployment/chunks/0/artifacts/0/_links/download/href",
                "{base}/softwaremodules/{module}/artifacts/{file}",
            )
            .json(
                "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
                "{base}/softwaremodules/{module}/artifacts/{file}.MD5SUM",
            )
            .json(
                "/deployment/chunks/0/artifacts/0/_links/md5sum/href",
                "{base}/softwaremodules/{module}/artifacts/{file}.MD5SUM",
            ),
        case("c does not matter", Offered)
            .get("deploymentBase/{id}?c=-2147483648")
            .is(200)
            .get("deploymentBase/{id}?c=2147483647")
            .is(200)
            .get("deploymentBase/{id}")
            .is(200),
        case("c that is no number of 32 bits is refused", Offered)
            .get("deploymentBase/{id}?c=abc")
            .is(400)
            .get("deploymentBase/{id}?c=2147483648")
            .is(400),
        case("other parameters do not matter", Offered)
            .get("deploymentBase/{id}?x=y&c=1")
            .is(200),
        case("history is shown to whoever asks for it", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                feedback::saying("proceeding", "none", &["one", "two"]),
            )
            .is(200)
            .get("deploymentBase/{id}?actionHistory=10")
            .is(200)
            .has("/actionHistory/status")
            .has("/actionHistory/messages/0")
            .that("both messages are there", |answer| {
                let text = answer.text();
                anyhow::ensure!(text.contains("one") && text.contains("two"));
                Ok(())
            }),
        case("all of it for a negative number", Busy)
            .post(
                "deploymentBase/{id}/feedback",
                feedback::saying("proceeding", "none", &["one"]),
            )
            .is(200)
            .get("deploymentBase/{id}?actionHistory=-1")
            .is(200)
            .has("/actionHistory"),
        case("none of it for nothing", Busy)
            .get("deploymentBase/{id}?actionHistory=")
            .is(200)
            .lacks("/actionHistory"),
        case("none of it for zero", Busy)
            .get("deploymentBase/{id}?actionHistory=0")
            .is(200)
            .lacks("/actionHistory"),
        case("no number is no number", Busy)
            .get("deploymentBase/{id}?actionHistory=x")
            .is(400),
        case(
            "an update that is done is still shown, and stays done",
            Done,
        )
        .get("deploymentBase/{id}")
        .is(200)
        .get("")
        .has("/_links/installedBase")
        .lacks("/_links/deploymentBase"),
        case("an update that failed is still shown", Failed)
            .get("deploymentBase/{id}")
            .is(200),
        case("an update that is called back is not there", CalledBack)
            .get("deploymentBase/{id}")
            .is(404)
            .empty(),
        case("an update that was called back is not there", Cancelled)
            .get("deploymentBase/{id}")
            .is(404),
        case("an update of another device is not there", Introduced)
            .get("deploymentBase/{other}")
            .is(404),
        case("an update that nobody made is not there", Introduced)
            .get("deploymentBase/2147483647")
            .is(404),
        case("a number beyond 32 bits is no update", Introduced)
            .get("deploymentBase/2147483648")
            .one_of(&[400, 404]),
        case("what is no number is no update", Introduced)
            .get("deploymentBase/abc")
            .one_of(&[400, 404]),
        case("an unknown device has no updates", Unknown)
            .get("deploymentBase/{other}")
            .is(404),
    ]
}
