//! Resources 3 and 4: files, whole and in parts.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use tidegate_e2e::Answer;

use super::case::{Case, Standing, Standing::*, case};

const PATH: &str = "softwaremodules/{module}/artifacts/{file}";

pub(super) fn cases() -> Vec<Case> {
    [whole(), ranges(), conditions(), md5sum(), whose()].concat()
}

fn file(name: &str) -> Case {
    case(name, Busy).get(PATH)
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
            .header("content-length", "1000")
            .header("etag", "\"{sha1}\"")
            .header("accept-ranges", "bytes"),
        file("whatever is accepted, a file is a file")
            .with("Accept", "application/octet-stream")
            .is(200)
            .bytes(1000),
        case("a file is not written", Busy)
            .send(Method::PUT, PATH)
            .is(405),
        case("a file that is not there", Busy)
            .get("softwaremodules/{module}/artifacts/nothing.bin")
            .is(404),
        case("a path is no name", Busy)
            .get("softwaremodules/{module}/artifacts/..%2F..%2Ftidegate.db")
            .is(404),
        case("a module that is not there", Busy)
            .get("softwaremodules/987654321/artifacts/{file}")
            .is(404),
        case("what is no number is no module", Busy)
            .get("softwaremodules/x/artifacts/{file}")
            .one_of(&[400, 404]),
    ]
}

/// What is asked for: the bytes that come, or none when nothing of it can be had.
fn ranges() -> Vec<Case> {
    let table: [(&str, Option<(usize, usize)>); 14] = [
        ("bytes=0-0", Some((0, 0))),
        ("bytes=0-9", Some((0, 9))),
        ("bytes=5-14", Some((5, 14))),
        ("bytes=990-", Some((990, 999))),
        ("bytes=-10", Some((990, 999))),
        ("bytes=0-", Some((0, 999))),
        ("bytes=999-", Some((999, 999))),
        ("bytes=990-5000", Some((990, 999))),
        ("bytes=-5000", Some((0, 999))),
        ("bytes=1000-", None),
        ("bytes=1000-1001", None),
        ("bytes=-0", None),
        ("bytes=9-5", None),
        ("bytes=99999999999999999999-", None),
    ];
    let mut cases: Vec<Case> = table
        .into_iter()
        .map(|(range, part)| {
            let asked = file(&format!("Range: {range}")).with("Range", range);
            match part {
                Some((from, to)) => {
                    let text: String = (from..=to)
                        .map(|at| (b'0' + (at % 10) as u8) as char)
                        .collect();
                    asked
                        .is(206)
                        .text(&text)
                        .header("content-range", &format!("bytes {from}-{to}/1000"))
                        .header("content-length", &text.len().to_string())
                        .header("etag", "\"{sha1}\"")
                }
                None => asked.is(416).header("content-range", "bytes */1000"),
            }
        })
        .collect();
    for range in [
        "bytes=a-b",
        "bytes=",
        "bytes=1",
        "lines=0-9",
        "0-9",
        "bytes=0-9,x",
    ] {
        cases.push(
            file(&format!("no range at all: {range}"))
                .with("Range", range)
                .one_of(&[200, 416]),
        );
    }
    cases.extend([
        case("the head of a part", Busy)
            .head(PATH)
            .with("Range", "bytes=0-9")
            .one_of(&[200, 206])
            .empty(),
        file("several parts come as such")
            .with("Range", "bytes=995-999,0-4")
            .that("both parts are there", has_both_parts),
        file("parts that overlap are refused")
            .with("Range", "bytes=0-9,5-14")
            .is(416)
            .header("content-range", "bytes */1000"),
        file("a part that is not there, beside one that is")
            .with("Range", "bytes=0-9,1000-")
            .is(416),
        file("a thousand parts are refused, or sent whole, but not a thousand times")
            .with("Range", &format!("bytes={}", ["0-"; 1000].join(",")))
            .one_of(&[200, 400, 416, 431]),
    ]);
    cases
}

fn has_both_parts(answer: &Answer) -> anyhow::Result<()> {
    ensure!(answer.status == 206, "the parts");
    ensure!(
        answer.header("content-length") == answer.body.len().to_string(),
        "the length of all parts"
    );
    let kind = answer.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges")
        .and_then(|kind| kind.split("boundary=").nth(1));
    let boundary = boundary.context("multipart/byteranges")?.trim_matches('"');
    let text = answer.text();
    ensure!(
        text.matches(&format!("--{boundary}")).count() == 3,
        "three boundaries"
    );
    for part in ["bytes 0-4/1000", "bytes 995-999/1000", "01234", "56789"] {
        ensure!(text.contains(part), "{part}");
    }
    Ok(())
}

fn conditions() -> Vec<Case> {
    vec![
        file("If-Match without quotes")
            .with("If-Match", "{sha1}")
            .is(200),
        file("If-Match with quotes")
            .with("If-Match", "\"{sha1}\"")
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
        file("If-Range by ETag")
            .with("If-Range", "\"{sha1}\"")
            .with("Range", "bytes=0-9")
            .is(206)
            .bytes(10),
        file("If-Range by another ETag")
            .with("If-Range", "\"abc\"")
            .with("Range", "bytes=0-9")
            .is(200)
            .bytes(1000),
        file("If-Range by date")
            .is(200)
            .get(PATH)
            .with("If-Range", "{modified}")
            .with("Range", "bytes=0-9")
            .is(206)
            .bytes(10),
        file("If-Range by an older date")
            .with("If-Range", "Thu, 01 Jan 1970 00:00:00 GMT")
            .with("Range", "bytes=0-9")
            .is(200)
            .bytes(1000),
        file("If-Range by nonsense")
            .with("If-Range", "never")
            .with("Range", "bytes=0-9")
            .is(200)
            .bytes(1000),
    ]
}

fn md5sum() -> Vec<Case> {
    vec![
        case("the MD5 sum as md5sum writes it", Busy)
            .get("softwaremodules/{module}/artifacts/{file}.MD5SUM")
            .is(200)
            .text("{md5}  {file}")
            .header("content-disposition", "attachment;filename={file}.MD5SUM")
            .that("plain text", |answer| {
                ensure!(answer.header("content-type").starts_with("text/plain"));
                Ok(())
            }),
        case("the MD5 sum of nothing", Busy)
            .get("softwaremodules/{module}/artifacts/nothing.bin.MD5SUM")
            .is(404),
    ]
}

/// Whose files they are: of an update that is open, and of what is installed.
fn whose() -> Vec<Case> {
    let may: [(Standing, u16); 8] = [
        (Offered, 200),
        (Busy, 200),
        (Done, 200),
        (Unknown, 404),
        (Introduced, 404),
        (Failed, 404),
        (CalledBack, 404),
        (Cancelled, 404),
    ];
    may.into_iter()
        .map(|(standing, status)| {
            case(
                &format!("a file for a device that is {standing:?}"),
                standing,
            )
            .get(PATH)
            .is(status)
        })
        .collect()
}
