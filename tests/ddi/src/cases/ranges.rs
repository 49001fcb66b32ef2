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
        "bytes=-",
        "bytes=1",
        "bytes=0-9,x",
        "bytes=+1-2",
        "bytes=1-2-3",
    ];
    // What does not speak of bytes may be passed over as well.
    let others = ["lines=0-9", "0-9"];
    let refused = beyond
        .into_iter()
        .chain(nonsense)
        .map(|asked| range(asked).is(416).header("content-range", "bytes */1000"));
    let others = others
        .into_iter()
        .map(|asked| range(asked).one_of(&[200, 416]));
    let head = named("the head of a part")
        .head(PATH)
        .with("Range", "bytes=0-9")
        .one_of(&[200, 206])
        .empty();
    refused.chain(others).chain([head]).collect()
}

fn several() -> Vec<Case> {
    vec![
        range("bytes=0-4,995-999").that("both parts are there", has_both_parts),
        named("several parts, the later first")
            .get(PATH)
            .with("Range", "bytes=995-999,0-4")
            .that("both parts are there", has_both_parts),
        refused("bytes=0-9,5-14"),
        refused("bytes=0-9,9-9"),
        refused("bytes=0-9,0-9"),
        refused("bytes=-10,985-"),
        refused("bytes=0-4,2000-"),
        refused("bytes=2000-,3000-"),
        refused("bytes=0-4,9-8"),
        range("bytes=0-4,5-9")
            .is(206)
            .that("both parts are there", |answer| {
                has_parts(answer, &[(0, 4), (5, 9)])
            }),
        range("bytes=-1,0-0,500-500").that("all three parts are there", |answer| {
            has_parts(answer, &[(0, 0), (500, 500), (999, 999)])
        }),
        named("a hundred parts")
            .get(PATH)
            .with("Range", &format!("bytes={}", hundred().join(",")))
            .that("all hundred parts are there", |answer| {
                let parts: Vec<_> = (0..100).map(|n| (n * 10, n * 10 + 4)).collect();
                has_parts(answer, &parts)
            }),
        named("parts of a file that is another by now are not sent")
            .get(PATH)
            .with("Range", "bytes=0-4,995-999")
            .with("If-Range", "\"another\"")
            .is(200)
            .bytes(1000),
        named("a thousand parts are not sent a thousand times")
            .get(PATH)
            .with("Range", &format!("bytes={}", ["0-"; 1000].join(",")))
            .is(416),
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

/// Some part is not there, or is asked for twice: then none is sent.
fn refused(asked: &str) -> Case {
    range(asked).is(416).header("content-range", "bytes */1000")
}

/// Half of every ten bytes.
fn hundred() -> Vec<String> {
    (0..100)
        .map(|n| format!("{}-{}", n * 10, n * 10 + 4))
        .collect()
}

fn has_both_parts(answer: &Answer) -> anyhow::Result<()> {
    has_parts(answer, &[(0, 4), (995, 999)])
}

/// These parts, in this order, each with its own head, and nothing else.
fn has_parts(answer: &Answer, parts: &[(usize, usize)]) -> anyhow::Result<()> {
    ensure!(answer.status == 206, "206 was expected");
    let boundary = answer
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .context("multipart/byteranges")?
        .trim_matches('"');
    let text = answer.text();
    let (inner, rest) = text
        .split_once(&format!("--{boundary}--"))
        .context("an end")?;
    ensure!(rest.trim().is_empty(), "something after the end");
    let start = format!("--{boundary}\r\n");
    let mut found = inner.split(&start);
    let before = found.next().unwrap_or_default();
    ensure!(before.trim().is_empty(), "something before the first part");
    let found: Vec<&str> = found.collect();
    ensure!(found.len() == parts.len(), "{} parts", found.len());
    for (part, &(from, to)) in found.iter().zip(parts) {
        let (head, body) = part.split_once("\r\n\r\n").context("the head of a part")?;
        let range = format!("content-range: bytes {from}-{to}/1000");
        let mut lines = head.lines().map(str::to_ascii_lowercase);
        ensure!(lines.any(|line| line == range), "{range}: {head}");
        ensure!(body == digits(from, to) + "\r\n", "{range}: {body}");
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
