//! Servers that the client commands talk to: redirects, silence, answers without end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::{check, raw_server, tidegate};

/// The root of the checkout, to which `file!()` is relative.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_key_is_not_sent_where_a_redirect_points() -> Result<()> {
    let (sender, received) = mpsc::channel();
    let other = raw_server(move |head| {
        let _ = sender.send(head.to_owned());
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_owned()
    })?;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{other}/api/v1/campaigns");
        let url = raw_server(move |_| {
            format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        })?;
        for command in [
            &["campaign", "list"][..],
            &["campaign", "start", "1"],
            &["campaign", "watch", "1"],
            &["update", "log", "1", "--follow"],
            &["plugin", "upload", file!()],
            &["health"],
        ] {
            // The probe has no key.
            let has_key = command != ["health"];
            let key = has_key.then_some(["--key", "tg_secret"]);
            let output = tidegate()
                .args(command)
                .args(["--url", &url])
                .args(key.into_iter().flatten())
                .current_dir(ROOT)
                .output()?;
            check(&output, 1, "");
            assert_eq!(received.try_recv().ok(), None, "{status}: {command:?}");
        }
        let output = tidegate()
            .args(["campaign", "list", "--url", &url])
            .output()?;
        check(
            &output,
            1,
            &format!("redirects to {other}/api/v1/campaigns"),
        );
    }
    Ok(())
}

#[test]
fn the_target_of_a_redirect_is_visible() -> Result<()> {
    let url = raw_server(|_| {
        "HTTP/1.1 307 Moved\r\nlocation: http://other.example/\u{9b}2J\u{202e}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_owned()
    })?;
    let output = tidegate()
        .args(["campaign", "list", "--url", &url])
        .output()?;
    check(
        &output,
        1,
        r"redirects to http://other.example/\u{9b}2J\u{202e}",
    );
    Ok(())
}

#[test]
fn a_redirect_within_the_server_is_followed() -> Result<()> {
    let url = raw_server(|head| {
        if head.starts_with("GET /api/v1/campaigns?") {
            "HTTP/1.1 307 Moved\r\nlocation: /moved\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        } else if head.starts_with("GET /moved") && head.contains("x-api-key: tg_secret") {
            "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"items\": []}"
        } else {
            "HTTP/1.1 400 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        .to_owned()
    })?;
    let output = tidegate()
        .args(["campaign", "list", "--url", &url, "--key", "tg_secret"])
        .output()?;
    check(&output, 0, "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "none\n");
    Ok(())
}

#[test]
fn a_silent_server_ends_every_command() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    // More than the buffers of a connection hold.
    file.as_file().set_len(64 << 20)?;
    let path = file.path().to_str().expect("a temporary path is UTF-8");
    // The system completes the connections, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    // Answers begin and do not end.
    let stuck = TcpListener::bind("127.0.0.1:0")?;
    let stuck_address = stuck.local_addr()?;
    thread::spawn(move || -> Result<()> {
        let mut open = Vec::new();
        for stream in stuck.incoming() {
            let mut stream = stream?;
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{{")?;
            open.push(stream);
        }
        Ok(())
    });
    for (address, commands) in [
        (
            silent.local_addr()?,
            &[
                &["campaign", "list"][..],
                &["campaign", "start", "1"],
                &["campaign", "watch", "1"],
                &["update", "log", "1", "--follow"],
                &["device", "delete", "pi-1"],
                &["settings", "set", "a=1"],
                &["plugin", "upload", path],
                &["firmware", "upload", path],
            ][..],
        ),
        (stuck_address, &[&["campaign", "list"][..]][..]),
    ] {
        let url = format!("http://{address}");
        for command in commands {
            let output = tidegate()
                .args(*command)
                .args(["--url", &url, "--server-timeout", "1"])
                .output()?;
            let expected = format!("the server at {url} has sent nothing for 1 s");
            check(&output, 3, &expected);
        }
    }
    let url = format!("http://{}", silent.local_addr()?);
    let output = tidegate().args(["health", "--url", &url]).output()?;
    check(
        &output,
        3,
        &format!("the server at {url} has sent nothing for 3 s"),
    );
    Ok(())
}

#[test]
fn a_connection_that_ends_early_is_no_unreachable_server() -> Result<()> {
    let url = raw_server(|_| String::new())?;
    let output = tidegate()
        .args(["campaign", "list", "--url", &url])
        .output()?;
    check(
        &output,
        3,
        &format!("error: the server at {url} has not answered completely: "),
    );
    Ok(())
}

#[test]
fn an_upload_that_is_refused_before_it_is_sent_shows_why() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(64 << 20)?;
    let path = file.path().to_str().expect("a temporary path is UTF-8");
    let problem = r#"{"title": "Unauthorized", "status": 401, "code": "unauthenticated", "detail": "no such key"}"#;
    let url = raw_server(move |_| {
        let length = problem.len();
        format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{problem}"
        )
    })?;
    for command in ["plugin", "firmware"] {
        let mut upload = tidegate();
        upload.args([command, "upload", path, "--url", &url]);
        let refused = "error: no such key (401 unauthenticated)\n  set a valid key with --key or TIDEGATE_KEY";
        check(&upload.output()?, 1, refused);
    }
    Ok(())
}

/// Sends a part of an answer each 0.2 s: `count` parts, or as long as the client reads.
fn trickle(mut stream: &TcpStream, part: &str, count: usize) -> Result<()> {
    for _ in 0..count {
        stream.write_all(part.as_bytes())?;
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Answers all connections at once; returns the server's URL. `answer` gets the first line of a request.
fn busy_server(answer: fn(&TcpStream, &str) -> Result<()>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(move || {
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                answer(&stream, head.first().map_or("", String::as_str))
            });
        }
        Ok(())
    });
    Ok(url)
}

fn answer_slowly(mut stream: &TcpStream, request: &str) -> Result<()> {
    let (status, part, count) = match request.split('?').next() {
        Some(it) if it.starts_with("POST /api/v1/campaigns") => ("200 OK\r\nx-head: ", "x", 100),
        Some(it) if it.contains("/updates/1/") => ("500 Internal Server Error\r\n\r\n", "x", 100),
        // Longer than any other answer may take.
        Some(it) if it.contains("/updates/2/") => ("200 OK\r\n\r\n", ": waiting\n\n", 30),
        _ => ("200 OK\r\n\r\n{\"items\": [", " ", 100),
    };
    write!(stream, "HTTP/1.1 {status}")?;
    trickle(stream, part, count)?;
    let end = r#"{"update_id": 2, "status": "completed"}"#;
    write!(stream, "event: end\nid: 2:1\ndata: {end}\n\n")?;
    Ok(())
}

#[test]
fn a_server_that_trickles_ends_every_command_but_those_that_follow_events() -> Result<()> {
    let url = busy_server(answer_slowly)?;
    let slow = format!("the server at {url} has not sent its whole answer in 5 s");
    let late = format!("the server at {url} has");
    let commands = [
        (&["campaign", "list"][..], 3, &*slow),
        (&["settings", "set", "a=1"], 3, &slow),
        (&["campaign", "start", "1"], 3, &late),
        (&["update", "log", "1", "--follow"], 3, &slow),
        (&["plugin", "upload", file!()], 3, &late),
        (&["update", "log", "2", "--follow"], 0, ""),
    ];
    let mut running = Vec::new();
    for (command, code, part) in commands {
        let process = tidegate()
            .args(command)
            .args(["--url", &url, "--server-timeout", "1"])
            .current_dir(ROOT)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        running.push((process, code, part));
    }
    for (process, code, part) in running {
        check(&process.wait_with_output()?, code, part);
    }
    Ok(())
}

#[test]
fn an_answer_is_read_into_memory_up_to_a_limit() -> Result<()> {
    for status in ["200 OK", "502 Bad Gateway"] {
        for command in [&["campaign", "list"][..], &["plugin", "upload", file!()]] {
            let body = " ".repeat((64 << 20) + 1);
            let url = raw_server(move |_| {
                format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}")
            })?;
            let output = tidegate()
                .args(command)
                .args(["--url", &url])
                .current_dir(ROOT)
                .output()?;
            let expected = format!("the answer of the server at {url} has more than 64 MiB");
            check(&output, 1, &expected);
        }
    }
    Ok(())
}

fn send_a_large_event(mut stream: &TcpStream, request: &str) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    let body = if request.contains("/journal") {
        r#"{"items": []}"#.to_owned()
    } else if request.contains("/campaigns/1 ") {
        r#"{"campaign_id": 1, "status": "in_progress"}"#.to_owned()
    } else {
        format!("event: line\ndata: {}", "x".repeat(4 << 20))
    };
    Ok(stream.write_all(body.as_bytes())?)
}

#[test]
fn an_event_is_read_into_memory_up_to_a_limit() -> Result<()> {
    let url = busy_server(send_a_large_event)?;
    for command in [
        &["update", "log", "1", "--follow"][..],
        &["campaign", "watch", "1"],
    ] {
        let output = tidegate().args(command).args(["--url", &url]).output()?;
        let expected = format!("the server at {url} has sent an event of more than 1024 KiB");
        check(&output, 1, &expected);
    }
    Ok(())
}
