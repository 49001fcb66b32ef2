//! What the client commands print, and the arguments that they refuse.

use anyhow::Result;
use tidegate_core::visible_text::is_harmful;

use crate::{check, raw_server, server, tidegate};

#[test]
fn a_device_shows_that_its_version_is_unstable() -> Result<()> {
    let device = r#"{"device_id": "a", "sw_version": "1.0.7", "unstable_version": true}"#;
    let url = server(move |_, _| ("application/json", device.to_owned()))?;
    let output = tidegate()
        .args(["device", "show", "a", "--url", &url])
        .output()?;
    check(&output, 0, "");
    let shown = String::from_utf8(output.stdout)?;
    let line = shown
        .lines()
        .find(|line| line.trim_start().starts_with("unstable version"));
    assert!(line.is_some_and(|line| line.ends_with("true")), "{shown}");
    Ok(())
}

#[test]
fn errors_of_another_server_are_visible_and_cannot_forge_a_line() -> Result<()> {
    for (kind, body) in [
        (
            "text/html",
            "<h1>\u{1b}]0;x\u{7}\r\nerror: forged\u{9b}\u{202e}</h1>",
        ),
        (
            "application/problem+json",
            r#"{"detail": "a\u001b\r\nerror: forged", "errors": [{"field": "\u009b", "message": "\u202e\nb"}]}"#,
        ),
    ] {
        let url = raw_server(move |_| {
            let length = body.len();
            format!(
                "HTTP/1.1 500 Bad\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        })?;
        for command in [&["campaign", "list"][..], &["health"]] {
            let output = tidegate().args(command).args(["--url", &url]).output()?;
            check(&output, 1, "forged");
            let stderr = String::from_utf8(output.stderr)?;
            assert!(
                !stderr.contains(|c| c != '\n' && is_harmful(c)),
                "{stderr:?}"
            );
            assert!(!stderr.contains("\nerror: forged"), "{stderr}");
        }
    }
    Ok(())
}

#[test]
fn errors_name_the_flags() -> Result<()> {
    let body = r#"{"detail": "2 invalid fields", "code": "invalid_campaign", "errors": [
        {"field": "/failure_threshold_percent", "message": "must be at most 100"},
        {"field": "/maintenance_window/timezone", "message": "is unknown"}]}"#;
    let url = raw_server(move |_| {
        let length = body.len();
        format!(
            "HTTP/1.1 422 Bad\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    })?;
    let output = tidegate()
        .args(["campaign", "create", "--name", "a", "--url", &url])
        .output()?;
    check(
        &output,
        1,
        "2 invalid fields (422 invalid_campaign)\n  --failure-threshold: must be at most 100\n  \
         --window-timezone: is unknown\n",
    );
    Ok(())
}

#[test]
fn an_id_that_is_a_part_of_a_path_is_refused() -> Result<()> {
    for id in [".", ".."] {
        let output = tidegate()
            .args(["device", "delete", id, "--url", "http://127.0.0.1:1"])
            .output()?;
        check(&output, 1, &format!("`{id}` is not an id"));
    }
    Ok(())
}

/// A golden of a later version of the contract than 1.0 has its name, without which it would be read as one of 1.0.
#[test]
fn a_question_is_the_whole_golden_that_the_server_sends() -> Result<()> {
    let sent = r#"{"contract":"1.1","call":"decide","input":{"devices":15},"expect":{"Ok":1},"later":[true]}"#;
    let url = server(move |_, _| ("application/json", sent.to_owned()))?;
    let output = tidegate()
        .args(["campaign", "question", "1", "7", "--url", &url])
        .output()?;
    check(&output, 0, "");
    let printed = String::from_utf8(output.stdout)?;
    let compact: String = printed.split_whitespace().collect();
    assert_eq!(compact, sent);
    Ok(())
}
