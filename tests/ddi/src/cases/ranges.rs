//! Resource 3: parts of files.

use anyhow::{Context as _, ensure};
use tidegate_ddi_client::HttpResponse;

use super::payloads;
use crate::case::{Case, DeviceState::*};

const PATH: &str = "softwaremodules/{module}/artifacts/{file}";

fn range(range: &str) -> Case {
    Case::new("3", &format!("Range: {range}"), Proceeding)
        .get(PATH)
        .with_header("Range", range)
}

fn named(name: &str) -> Case {
    Case::new("3", name, Proceeding)
}

pub(super) fn cases() -> Vec<Case> {
    [single(), unsatisfiable(), several(), hundreds()].concat()
}

/// Requested ranges, with the first and last byte of the response.
fn single() -> Vec<Case> {
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
    .map(|(requested, from, to)| {
        let text = digits(from, to);
        range(requested)
            .status(206)
            .text(&text)
            .header("content-range", &format!("bytes {from}-{to}/1000"))
            .header("content-length", &text.len().to_string())
            .header("etag", "\"{sha1}\"")
            .header("accept-ranges", "bytes")
            .header("content-type", "application/octet-stream")
    })
    .collect()
}

fn unsatisfiable() -> Vec<Case> {
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
    // Another unit may be ignored as well.
    let others = ["lines=0-9", "0-9"];
    let rejected_range = beyond.into_iter().chain(nonsense).map(|requested| {
        range(requested)
            .status(416)
            .header("content-range", "bytes */1000")
    });
    let others = others
        .into_iter()
        .map(|requested| range(requested).status_in(&[200, 416]));
    let head = named("HEAD with a range")
        .head(PATH)
        .with_header("Range", "bytes=0-9")
        .status_in(&[200, 206])
        .empty();
    rejected_range.chain(others).chain([head]).collect()
}

fn several() -> Vec<Case> {
    vec![
        range("bytes=0-4,995-999").satisfies("both parts", has_both_parts),
        named("several parts, the later first")
            .get(PATH)
            .with_header("Range", "bytes=995-999,0-4")
            .satisfies("both parts", has_both_parts),
        rejected_range("bytes=0-9,5-14"),
        rejected_range("bytes=0-9,9-9"),
        rejected_range("bytes=0-9,0-9"),
        rejected_range("bytes=-10,985-"),
        rejected_range("bytes=0-4,2000-"),
        rejected_range("bytes=2000-,3000-"),
        rejected_range("bytes=0-4,9-8"),
        range("bytes=0-4,5-9")
            .status(206)
            .satisfies("both parts", |response| {
                has_parts(response, &[(0, 4), (5, 9)])
            }),
        range("bytes=-1,0-0,500-500").satisfies("all three parts", |response| {
            has_parts(response, &[(0, 0), (500, 500), (999, 999)])
        }),
        named("a hundred parts")
            .get(PATH)
            .with_header("Range", &format!("bytes={}", hundred().join(",")))
            .satisfies("all hundred parts", |response| {
                let parts: Vec<_> = (0..100).map(|n| (n * 10, n * 10 + 4)).collect();
                has_parts(response, &parts)
            }),
        named("If-Range with another ETag sends the whole file")
            .get(PATH)
            .with_header("Range", "bytes=0-4,995-999")
            .with_header("If-Range", "\"another\"")
            .status(200)
            .bytes(1000),
        named("a thousand overlapping parts are rejected")
            .get(PATH)
            .with_header("Range", &format!("bytes={}", ["0-"; 1000].join(",")))
            .status(416),
    ]
}

/// Streaming clients request hundreds of parts, which must not affect the update.
fn hundreds() -> Vec<Case> {
    vec![
        named("hundreds of parts, eight at a time")
            .row("1.5")
            .get(PATH)
            .with_header("Range", "bytes={n}-{n}")
            .times(400, 8)
            .status(206)
            .bytes(1),
        named("downloading parts does not change the update")
            .row("1.5")
            .get("")
            .status(200)
            .capture("link", "/_links/deploymentBase/href")
            .get(PATH)
            .with_header("Range", "bytes={n}-{n}")
            .times(20, 4)
            .status(206)
            .get("")
            .status(200)
            .json("/_links/deploymentBase/href", "{link}")
            .post(
                "deploymentBase/{id}/feedback",
                payloads::feedback("closed", "success"),
            )
            .status(200),
    ]
}

/// If a part is out of range or overlaps another, none is sent.
fn rejected_range(requested: &str) -> Case {
    range(requested)
        .status(416)
        .header("content-range", "bytes */1000")
}

/// The first five of every ten bytes.
fn hundred() -> Vec<String> {
    (0..100)
        .map(|n| format!("{}-{}", n * 10, n * 10 + 4))
        .collect()
}

fn has_both_parts(response: &HttpResponse) -> anyhow::Result<()> {
    has_parts(response, &[(0, 4), (995, 999)])
}

/// Fails unless the response has exactly these parts, in this order, each with its own header.
fn has_parts(response: &HttpResponse, parts: &[(usize, usize)]) -> anyhow::Result<()> {
    ensure!(response.status == 206, "expected status 206");
    let boundary = response
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .context("multipart/byteranges")?
        .trim_matches('"');
    let text = response.text();
    let (inner, rest) = text
        .split_once(&format!("--{boundary}--"))
        .context("no closing boundary")?;
    ensure!(rest.trim().is_empty(), "data after the closing boundary");
    let start = format!("--{boundary}\r\n");
    let mut found = inner.split(&start);
    let before = found.next().unwrap_or_default();
    ensure!(before.trim().is_empty(), "data before the first part");
    let found: Vec<&str> = found.collect();
    ensure!(found.len() == parts.len(), "{} parts", found.len());
    for (part, &(from, to)) in found.iter().zip(parts) {
        let (head, body) = part
            .split_once("\r\n\r\n")
            .context("a part has no header")?;
        let range = format!("content-range: bytes {from}-{to}/1000");
        let mut lines = head.lines().map(str::to_ascii_lowercase);
        ensure!(lines.any(|line| line == range), "{range}: {head}");
        ensure!(body == digits(from, to) + "\r\n", "{range}: {body}");
    }
    let length: usize = response
        .header("content-length")
        .parse()
        .context("Content-Length")?;
    ensure!(length == response.body.len(), "Content-Length");
    Ok(())
}

fn digits(from: usize, to: usize) -> String {
    (from..=to)
        .map(|at| (b'0' + (at % 10) as u8) as char)
        .collect()
}
