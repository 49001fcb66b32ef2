//! Commands that read a stream of events.

use std::collections::HashSet;

use anyhow::Result;

use crate::{check, raw_server, server, tidegate};

#[test]
fn campaign_watch_reconnects_when_a_stream_ends() -> Result<()> {
    let mut streams = 0;
    let url = server(move |path, _| {
        let status = if streams < 2 {
            "in_progress"
        } else {
            "completed"
        };
        if path.ends_with("/events") {
            streams += 1;
            ("text/event-stream", "event: campaign\ndata: {}\n\n".into())
        } else if path.contains("/journal") {
            ("application/json", r#"{"items": []}"#.into())
        } else {
            let campaign = format!(r#"{{"campaign_id": 1, "status": "{status}"}}"#);
            ("application/json", campaign)
        }
    })?;
    let output = tidegate()
        .args(["campaign", "watch", "1", "--url", &url])
        .output()?;
    check(&output, 0, "");
    Ok(())
}

#[test]
fn campaign_watch_polls_while_the_server_has_no_stream_left() -> Result<()> {
    const PROBLEM: &str = r#"{"status": 429, "code": "too_many_streams", "detail": "too many"}"#;
    let (mut streams, mut reads) = (0, 0);
    let url = raw_server(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, kind, body) = if path.ends_with("/events") {
            streams += 1;
            ("429 Too Many Requests", "problem+json", PROBLEM.to_owned())
        } else if path.contains("/journal") {
            ("200 OK", "json", r#"{"items": []}"#.to_owned())
        } else {
            reads += 1;
            assert_eq!(streams, reads, "each poll tries to open a stream first");
            let status = if reads < 2 {
                "in_progress"
            } else {
                "completed"
            };
            let campaign = format!(r#"{{"campaign_id": 1, "status": "{status}"}}"#);
            ("200 OK", "json", campaign)
        };
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/{kind}\r\nretry-after: 1\r\n\
             connection: close\r\n\r\n{body}"
        )
    })?;
    let output = tidegate()
        .args(["campaign", "watch", "1", "--url", &url])
        .output()?;
    check(&output, 0, "too many event streams are open");
    let shown = String::from_utf8(output.stdout)?;
    assert!(shown.contains("completed"), "{shown}");
    Ok(())
}

/// The first requests for each path are refused for now.
#[test]
fn commands_that_run_for_long_go_on_after_a_refusal_for_now() -> Result<()> {
    const LIMIT: &str =
        r#"{"status": 429, "code": "too_many_requests", "detail": "too many requests"}"#;
    const STREAMS: &str =
        r#"{"status": 429, "code": "too_many_streams", "detail": "too many streams"}"#;
    const LOG: &str = "event: line\nid: 7:1\ndata: {\"text\": \"erasing\"}\n\n\
                       event: end\nid: 7:1\ndata: {\"update_id\": 7, \"status\": \"completed\"}\n\n";
    for (command, problem, message, shown) in [
        (
            &["update", "log", "7", "--follow"][..],
            STREAMS,
            "too many streams",
            "erasing",
        ),
        (
            &["device", "log", "pi-1", "--follow"],
            STREAMS,
            "too many streams",
            "erasing",
        ),
        (
            &["update", "log", "7", "--follow"],
            LIMIT,
            "too many requests",
            "erasing",
        ),
        (
            &["campaign", "watch", "1"],
            LIMIT,
            "too many requests",
            "completed",
        ),
    ] {
        let is_device = command.contains(&"device");
        let mut refused = HashSet::new();
        let url = raw_server(move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, kind, body) = if path.ends_with("/events") {
                ("200 OK", "text/event-stream", "data: {}\n\n")
            } else if path.contains("/journal") {
                ("200 OK", "application/json", r#"{"items": []}"#)
            } else if path.contains("/campaigns/") {
                (
                    "200 OK",
                    "application/json",
                    r#"{"campaign_id": 1, "status": "completed"}"#,
                )
            } else if is_device && !head.contains("last-event-id") {
                ("200 OK", "text/event-stream", LOG)
            } else if is_device {
                (
                    "404 Not Found",
                    "application/problem+json",
                    r#"{"detail": "it is gone"}"#,
                )
            } else {
                ("200 OK", "text/event-stream", LOG)
            };
            let (status, kind, body) = if refused.insert(path) {
                ("429 Too Many Requests", "application/problem+json", problem)
            } else {
                (status, kind, body)
            };
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}"
            )
        })?;
        let output = tidegate().args(command).args(["--url", &url]).output()?;
        // The log of a device has no end: the server ends this one.
        check(&output, i32::from(is_device), message);
        let printed = String::from_utf8(output.stdout)?;
        assert!(printed.contains(shown), "{command:?}: {printed}");
    }
    Ok(())
}

#[test]
fn log_follow_resumes_when_a_stream_ends() -> Result<()> {
    let url = server(|_, after| {
        let events = match after {
            None => "event: line\nid: 7:1\ndata: {\"text\": \"erasing\"}\n\n",
            Some("7:1") => {
                "event: line\nid: 7:2\ndata: {\"text\": \"writing\"}\n\n\
                 event: end\nid: 7:2\ndata: {\"update_id\": 7, \"status\": \"completed\"}\n\n"
            }
            Some(_) => "",
        };
        ("text/event-stream", events.into())
    })?;
    let output = tidegate()
        .args(["update", "log", "7", "--follow", "--url", &url])
        .output()?;
    check(&output, 0, "");
    let shown = String::from_utf8(output.stdout)?;
    let lines = ["erasing", "writing", "update 7 ended as completed"];
    assert_eq!(shown.lines().count(), lines.len(), "{shown}");
    for (line, part) in shown.lines().zip(lines) {
        assert!(line.ends_with(part), "{shown}");
    }
    Ok(())
}
