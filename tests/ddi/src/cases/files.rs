//! Resources 3 and 4: files, whole, with conditions, and their MD5 sums. Parts are in `ranges`.

use anyhow::ensure;
use reqwest::Method;

use crate::{
    adapter::Terms,
    bundle::{LONG, ODD},
    case::{Case, Standing, Standing::*},
};

const PATH: &str = "softwaremodules/{module}/artifacts/{file}";
const MD5SUM: &str = "softwaremodules/{module}/artifacts/{file}.MD5SUM";

fn case(name: &str, standing: Standing) -> Case {
    Case::new("3", name, standing)
}

fn file(name: &str) -> Case {
    case(name, Busy).get(PATH)
}

pub(super) fn cases() -> Vec<Case> {
    [whole(), conditions(), md5sum(), whose(), names()].concat()
}

fn whole() -> Vec<Case> {
    vec![
        file("a file comes whole, with all that is to be said of it")
            .is(200)
            .bytes(1000)
            .header("content-type", "application/octet-stream")
            .header("content-length", "1000")
            .header("accept-ranges", "bytes")
            .header("etag", "\"{sha1}\"")
            .header("x-content-type-options", "nosniff")
            .header("content-disposition", "attachment;filename={file}")
            .that("Last-Modified", |answer| {
                ensure!(answer.header("last-modified").ends_with(" GMT"));
                Ok(())
            }),
        case("its head says the same", Busy)
            .head(PATH)
            .is(200)
            .empty()
            .header("content-type", "application/octet-stream")
            .header("content-length", "1000")
            .header("accept-ranges", "bytes")
            .header("etag", "\"{sha1}\"")
            .header("content-disposition", "attachment;filename={file}"),
        file("whatever is accepted, a file is a file")
            .with("Accept", "application/octet-stream")
            .is(200)
            .bytes(1000),
        case("what a device has yet to prove it may fetch again", Done)
            .on(Terms {
                proof: true,
                ..Terms::default()
            })
            .get("deploymentBase/{id}")
            .is(200)
            .get(PATH)
            .is(200)
            .bytes(1000),
        case("a file is not written", Busy)
            .send(Method::PUT, PATH)
            .is(405),
        case("a file that is not there", Busy)
            .get("softwaremodules/{module}/artifacts/nothing.bin")
            .is(404),
        case("a path is no name", Busy)
            .get("softwaremodules/{module}/artifacts/..%2F..%2Fsecrets")
            .one_of(&[400, 404]),
        case("a module that is not there", Busy)
            .get("softwaremodules/987654321/artifacts/{file}")
            .is(404),
        case("what is no number is no module", Busy)
            .get("softwaremodules/x/artifacts/{file}")
            .one_of(&[400, 404]),
        case("it leads there from the description", Offered)
            .get("deploymentBase/{id}")
            .keep(
                "link",
                "/deployment/chunks/0/artifacts/0/_links/download-http/href",
            )
            .get("{link}")
            .is(200)
            .bytes(1000)
            .header("etag", "\"{sha1}\""),
    ]
}

fn conditions() -> Vec<Case> {
    let part = |name: &str, condition: &str, status: u16| {
        file(name)
            .is(200)
            .get(PATH)
            .with("If-Range", condition)
            .with("Range", "bytes=0-9")
            .is(status)
            .bytes(if status == 206 { 10 } else { 1000 })
    };
    vec![
        file("If-Match without quotes")
            .with("If-Match", "{sha1}")
            .is(200),
        file("If-Match one of several")
            .with("If-Match", "abc, {sha1}")
            .is(200),
        file("If-Match anything").with("If-Match", "*").is(200),
        file("If-Match another").with("If-Match", "abc").is(412),
        file("If-None-Match")
            .with("If-None-Match", "\"{sha1}\"")
            .is(304)
            .empty(),
        file("If-None-Match another")
            .with("If-None-Match", "\"abc\"")
            .is(200)
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
            "the MD5 sum as md5sum writes it, without the end of the line",
            Busy,
        )
        .row("4")
        .get(MD5SUM)
        .is(200)
        .text("{md5}  {file}")
        .header("content-disposition", "attachment;filename={file}.MD5SUM")
        .that("plain text", |answer| {
            ensure!(answer.header("content-type").starts_with("text/plain"));
            Ok(())
        }),
        case("the MD5 sum of nothing", Busy)
            .row("4")
            .get("softwaremodules/{module}/artifacts/nothing.bin.MD5SUM")
            .is(404),
        case("the MD5 sum of a file of a module that is not there", Busy)
            .row("4")
            .get("softwaremodules/987654321/artifacts/{file}.MD5SUM")
            .is(404),
        case("the link leads to the MD5 sum", Offered)
            .row("4")
            .get("deploymentBase/{id}")
            .keep(
                "link",
                "/deployment/chunks/0/artifacts/0/_links/md5sum-http/href",
            )
            .get("{link}")
            .is(200)
            .text("{md5}  {file}"),
        case("the MD5 sum of what is installed", Done)
            .row("4")
            .get(MD5SUM)
            .differs(5, |it| it.one_of(&[200, 404]), |it| it.is(200)),
    ]
}

/// Whose files they are: of an update that is open, and of what is installed.
fn whose() -> Vec<Case> {
    let of = |standing: Standing| {
        case(
            &format!("a file for a device that is {standing:?}"),
            standing,
        )
        .get(PATH)
    };
    let mut cases: Vec<Case> = [
        (Offered, 200),
        (Busy, 200),
        (Unknown, 404),
        (Introduced, 404),
        (Failed, 404),
        (CalledBack, 404),
        (Cancelled, 404),
    ]
    .into_iter()
    .map(|(standing, status)| of(standing).is(status))
    .collect();
    cases.extend([
        of(Done).differs(5, |it| it.is(404), |it| it.is(200).bytes(1000)),
        case("a part of a file that is installed", Done)
            .get(PATH)
            .with("Range", "bytes=0-9")
            .differs(5, |it| it.is(404), |it| it.is(206).bytes(10)),
    ]);
    cases
}

/// Names with a space and a plus sign in them, and a long one.
fn names() -> Vec<Case> {
    let long = case("a long name", Offered)
        .brings(&LONG)
        .get("deploymentBase/{id}")
        .keep(
            "link",
            "/deployment/chunks/0/artifacts/0/_links/download-http/href",
        )
        .get("{link}")
        .is(200)
        .differs(
            15,
            |it| {
                it.that("it is cut", |answer| {
                    let name = answer.header("content-disposition");
                    ensure!(name.len() <= 78, "{name}");
                    Ok(())
                })
            },
            |it| {
                let name = LONG.modules[0].files[0].name;
                it.header(
                    "content-disposition",
                    &format!("attachment;filename={name}"),
                )
            },
        );
    let odd = [
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
            .brings(&ODD)
            .get("deploymentBase/{id}")
            .keep("link", link)
            .get("{link}")
            .is(200)
            .bytes(3)
            .that("it is not lost", |answer| {
                let name = answer.header("content-disposition");
                ensure!(name.starts_with("attachment;filename="), "{name}");
                ensure!(
                    name.contains("app one.bin") || name.contains("app+two.bin"),
                    "{name}"
                );
                Ok(())
            })
    });
    odd.chain([long]).collect()
}
