//! Resources 3 and 4: whole files, conditional requests, and MD5 sums. Ranges are in `ranges`.

use anyhow::ensure;
use reqwest::Method;

use crate::{
    adapter::AssignmentOptions,
    bundle::{ENCODED_NAMES, LONG_NAME},
    case::{Case, DeviceState, DeviceState::*},
};

const PATH: &str = "softwaremodules/{module}/artifacts/{file}";
const MD5SUM: &str = "softwaremodules/{module}/artifacts/{file}.MD5SUM";

fn case(name: &str, device_state: DeviceState) -> Case {
    Case::new("3", name, device_state)
}

fn file(name: &str) -> Case {
    case(name, Proceeding).get(PATH)
}

pub(super) fn cases() -> Vec<Case> {
    [whole(), conditions(), md5sum(), access(), names()].concat()
}

fn whole() -> Vec<Case> {
    vec![
        file("a whole file with all header fields")
            .status(200)
            .bytes(1000)
            .header("content-type", "application/octet-stream")
            .header("content-length", "1000")
            .header("accept-ranges", "bytes")
            .header("etag", "\"{sha1}\"")
            .header("x-content-type-options", "nosniff")
            .header("content-disposition", "attachment;filename={file}")
            .satisfies("Last-Modified", |response| {
                ensure!(response.header("last-modified").ends_with(" GMT"));
                Ok(())
            }),
        case("HEAD has the same header fields", Proceeding)
            .head(PATH)
            .status(200)
            .empty()
            .header("content-type", "application/octet-stream")
            .header("content-length", "1000")
            .header("accept-ranges", "bytes")
            .header("etag", "\"{sha1}\"")
            .header("content-disposition", "attachment;filename={file}"),
        file("Accept does not matter")
            .with_header("Accept", "application/octet-stream")
            .status(200)
            .bytes(1000),
        case(
            "files can be downloaded again while success is not attested",
            Succeeded,
        )
        .with_options(AssignmentOptions {
            attested: true,
            ..AssignmentOptions::default()
        })
        .get("deploymentBase/{id}")
        .status(200)
        .get(PATH)
        .status(200)
        .bytes(1000),
        case("PUT is not allowed", Proceeding)
            .send(Method::PUT, PATH)
            .status(405),
        case("an unknown file", Proceeding)
            .get("softwaremodules/{module}/artifacts/nothing.bin")
            .status(404),
        case("a path in place of a name", Proceeding)
            .get("softwaremodules/{module}/artifacts/..%2F..%2Fsecrets")
            .status_in(&[400, 404]),
        case("an unknown module", Proceeding)
            .get("softwaremodules/987654321/artifacts/{file}")
            .status(404),
        case("a module id that is not a number", Proceeding)
            .get("softwaremodules/x/artifacts/{file}")
            .status_in(&[400, 404]),
        case("the link of the description leads to the file", Offered)
            .get("deploymentBase/{id}")
            .capture(
                "link",
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            )
            .get("{link}")
            .status(200)
            .bytes(1000)
            .header("etag", "\"{sha1}\""),
    ]
}

fn conditions() -> Vec<Case> {
    let part = |name: &str, condition: &str, status: u16| {
        file(name)
            .status(200)
            .get(PATH)
            .with_header("If-Range", condition)
            .with_header("Range", "bytes=0-9")
            .status(status)
            .bytes(if status == 206 { 10 } else { 1000 })
    };
    vec![
        file("If-Match without quotes")
            .with_header("If-Match", "{sha1}")
            .status(200),
        file("If-Match one of several")
            .with_header("If-Match", "abc, {sha1}")
            .status(200),
        file("If-Match anything")
            .with_header("If-Match", "*")
            .status(200),
        file("If-Match another")
            .with_header("If-Match", "abc")
            .status(412),
        file("If-None-Match")
            .with_header("If-None-Match", "\"{sha1}\"")
            .status(304)
            .empty(),
        file("If-None-Match another")
            .with_header("If-None-Match", "\"abc\"")
            .status(200)
            .bytes(1000),
        part("If-Range by ETag", "\"{sha1}\"", 206),
        part("If-Range by another ETag", "\"abc\"", 200),
        part("If-Range by date", "{modified}", 206),
        part(
            "If-Range by an older date",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            200,
        ),
        part("If-Range by nonsense", "never", 200),
    ]
}

fn md5sum() -> Vec<Case> {
    vec![
        case(
            "the MD5 sum in md5sum's format, without a line break",
            Proceeding,
        )
        .row("4")
        .get(MD5SUM)
        .status(200)
        .text("{md5}  {file}")
        .header("content-disposition", "attachment;filename={file}.MD5SUM")
        .satisfies("plain text", |response| {
            ensure!(response.header("content-type").starts_with("text/plain"));
            Ok(())
        }),
        case("the MD5 sum of an unknown file", Proceeding)
            .row("4")
            .get("softwaremodules/{module}/artifacts/nothing.bin.MD5SUM")
            .status(404),
        case("the MD5 sum of a file of an unknown module", Proceeding)
            .row("4")
            .get("softwaremodules/987654321/artifacts/{file}.MD5SUM")
            .status(404),
        case("the link leads to the MD5 sum", Offered)
            .row("4")
            .get("deploymentBase/{id}")
            .capture(
                "link",
                "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
            )
            .get("{link}")
            .status(200)
            .text("{md5}  {file}"),
        case("the MD5 sum of an installed file", Succeeded)
            .row("4")
            .get(MD5SUM)
            .differs(5, |it| it.status_in(&[200, 404]), |it| it.status(200)),
    ]
}

/// Which devices may download a file: those with an open update, and those that installed it.
fn access() -> Vec<Case> {
    let of = |device_state: DeviceState| {
        case(
            &format!("a file, device state {device_state:?}"),
            device_state,
        )
        .get(PATH)
    };
    let mut cases: Vec<Case> = [
        (Offered, 200),
        (Proceeding, 200),
        (Unknown, 404),
        (Identified, 404),
        (Failed, 404),
        (Cancelling, 404),
        (Cancelled, 404),
    ]
    .into_iter()
    .map(|(device_state, status)| of(device_state).status(status))
    .collect();
    cases.extend([
        of(Succeeded).differs(5, |it| it.status(404), |it| it.status(200).bytes(1000)),
        case("a range of an installed file", Succeeded)
            .get(PATH)
            .with_header("Range", "bytes=0-9")
            .differs(5, |it| it.status(404), |it| it.status(206).bytes(10)),
    ]);
    cases
}

/// File names with a space, with a plus sign, and a long one.
fn names() -> Vec<Case> {
    let long = case("a long name", Offered)
        .with_bundle(&LONG_NAME)
        .get("deploymentBase/{id}")
        .capture(
            "link",
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
        )
        .get("{link}")
        .status(200)
        .differs(
            14,
            |it| {
                it.satisfies("the name is cut", |response| {
                    let name = response.header("content-disposition");
                    ensure!(name.len() <= 78, "{name}");
                    Ok(())
                })
            },
            |it| {
                let name = LONG_NAME.modules[0].files[0].name;
                it.header(
                    "content-disposition",
                    &format!("attachment;filename={name}"),
                )
            },
        );
    let encoded = [
        (
            "a name that must be encoded, the first",
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
        ),
        (
            "a name that must be encoded, the second",
            "/deployment/chunks/0/artifacts/1/_links/download-http/href",
        ),
    ]
    .into_iter()
    .map(|(name, link)| {
        case(name, Offered)
            .with_bundle(&ENCODED_NAMES)
            .get("deploymentBase/{id}")
            .capture("link", link)
            .get("{link}")
            .status(200)
            .bytes(3)
            .satisfies("the name is complete", |response| {
                let name = response.header("content-disposition");
                ensure!(name.starts_with("attachment;filename="), "{name}");
                ensure!(
                    name.contains("app one.bin") || name.contains("app+two.bin"),
                    "{name}"
                );
                Ok(())
            })
    });
    encoded.chain([long]).collect()
}
