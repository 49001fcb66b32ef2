//! Resource 3: parts of files.

use anyhow::{Context as _, ensure};

use super::say;
use crate::{
    answer::Answer,
    case::{Case, Standing::*},
};

const PATH: &str = "softwaremodules/{module}/artifacts/{file}";

fn range(range: &str) -> Case {
    Case::new("3", &format!("Range: {range}"), Busy)
        .get(PATH)
        .with("Range", range)
}

fn named(name: &str) -> Case {
    Case::new("3", name, Busy)
}

pub(super) fn cases() -> Vec<Case> {
    [one(), none(), several(), many()].concat()
}

/// What is asked for, and the first and last byte that come.
fn one() -> Vec<Case> {
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=5-14", 5, 14),
        ("bytes=990-", 990, 999),
        ("bytes=-10", 990, 999),
        ("bytes=0-", 0, 999),
        ("bytes=999-", 999, 999),
        ("bytes=0-999", 0, 999),
        ("bytes=990-5000", 990, 999),
        ("bytes=-5000", 0, 999),
    ]
    .into_iter()
    .map(|(asked, from, to)| {
        let text = digits(from, to);
        range(asked)
            .is(206)
            .text(&text)
            .header("content-range", &format!("bytes {from}-{to}/1000"))
            .header("content-length", &text.len().to_string())
            .header("etag", "\"{sha1}\"")
            .header("accept-ranges", "bytes")
            .header("content-type", "application/octet-stream")
    })
    .collect()
}

fn none() -> Vec<Case> {
    let beyond = [
        "bytes=1000-",
        "bytes=1000-1001",
        "bytes=-0",
        "bytes=9-5",
        "bytes=99999999999999999999-",
    ];
    let nonsense = [
        "bytes=a-b",
        "bytes=",
        "bytes=1",
        "lines=0-9",
        "0-9",
        "bytes=0-9,x",
    ];
    let beyond = beyond
        .into_iter()
        .map(|asked| range(asked).is(416).header("content-range", "bytes */1000"));
    let nonsense = nonsense
        .into_iter()
        .map(|asked| range(asked).one_of(&[200, 416]));
    let head = named("the head of a part")
        .head(PATH)
        .with("Range", "bytes=0-9")
        .one_of(&[200, 206])
        .empty();
    beyond.chain(nonsense).chain([head]).collect()
}

fn several() -> Vec<Case> {
    vec![
        range("bytes=0-4,995-999").that("both parts are there", has_both_parts),
        named("several parts, the later first")
            .get(PATH)
            .with("Range", "bytes=995-999,0-4")
            .that("both parts are there", has_both_parts),
        range("bytes=0-9,5-14").one_of(&[200, 206, 416]),
        range("bytes=0-4,2000-").one_of(&[200, 206, 416]),
        range("bytes=2000-,3000-").is(416),
        named("a thousand parts are not sent a thousand times")
            .get(PATH)
            .with("Range", &format!("bytes={}", ["0-"; 1000].join(",")))
            .one_of(&[200, 206, 400, 416, 431])
            .that("no more than the file", |answer| {
                ensure!(answer.body.len() < 3000, "{} bytes", answer.body.len());
                Ok(())
            }),
    ]
}

/// Clients that stream ask for hundreds of parts; that leaves no trace.
fn many() -> Vec<Case> {
    vec![
        named("hundreds of parts, one after the other and side by side")
            .row("1.5")
            .get(PATH)
            .with("Range", "bytes={n}-{n}")
            .times(400, 8)
            .is(206)
            .bytes(1),
        named("parts that are fetched are no news of the update")
            .row("1.5")
            .get("")
            .is(200)
            .keep("link", "/_links/deploymentBase/href")
            .get(PATH)
            .with("Range", "bytes={n}-{n}")
            .times(20, 4)
            .is(206)
            .get("")
            .is(200)
            .json("/_links/deploymentBase/href", "{link}")
            .post(
                "deploymentBase/{id}/feedback",
                say::body("closed", "success"),
            )
            .is(200),
    ]
}

/// The standard sends the parts; a server may also send the whole (RFC 9110, section 14.2).
fn has_both_parts(answer: &Answer) -> anyhow::Result<()> {
    if answer.status == 200 && answer.body.len() == 1000 {
        return Ok(());
    }
    ensure!(answer.status == 206, "neither the parts nor the whole");
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
    ensure!(
        text.trim_end().ends_with(&format!("--{boundary}--")),
        "an end"
    );
    for part in ["bytes 0-4/1000", "bytes 995-999/1000", "01234", "56789"] {
        ensure!(text.contains(part), "{part}");
    }
    let length: usize = answer
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(length == answer.body.len(), "Content-Length");
    Ok(())
}

fn digits(from: usize, to: usize) -> String {
    (from..=to)
        .map(|at| (b'0' + (at % 10) as u8) as char)
        .collect()
}
