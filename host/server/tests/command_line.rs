//! The program: exit codes and errors at the start.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tidegate_core::visible_text::is_harmful;

/// The root of the checkout, to which `file!()` is relative.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
}

fn check(output: &Output, code: i32, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(part), "{stderr}");
}

#[test]
fn exit_codes_tell_what_happened() -> Result<()> {
    let far = ["--url", "http://127.0.0.1:1"];
    check(
        &tidegate().args(["campaign", "fly"]).output()?,
        2,
        "unrecognized subcommand",
    );
    check(
        &tidegate().arg("health").args(far).output()?,
        3,
        "cannot be reached",
    );
    check(
        &tidegate().args(["campaign", "list"]).args(far).output()?,
        3,
        "cannot be reached",
    );
    check(
        &tidegate()
            .args(["plugin", "validate", "canary", "{"])
            .args(far)
            .output()?,
        1,
        "not JSON",
    );
    Ok(())
}

#[test]
fn an_invalid_configuration_stops_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, "[devices]\npoling_interval = '5m'")?;
    let serve = |file: &std::path::Path| {
        let mut command = tidegate();
        command.arg("serve").arg("--config").arg(file);
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.arg("--components").arg(folder.path());
        command
    };
    let named = format!("`devices.poling_interval` in {}", file.display());
    check(&serve(&file).output()?, 1, &named);
    check(
        &serve(&folder.path().join("none.toml")).output()?,
        1,
        "none.toml",
    );

    fs::write(&file, "[sandbox]\nfuel = 2_000_000_000")?;
    check(
        &serve(&file)
            .env("TIDEGATE_LISTEN", "127.0.0.1:0")
            .output()?,
        1,
        "`sandbox.fuel` in ",
    );
    check(
        &serve(&file).env("TIDEGATE_LISTN", "127.0.0.1:0").output()?,
        1,
        "the environment variable `TIDEGATE_LISTN` is an unknown setting",
    );
    check(
        &serve(&file).env("TIDEGATE_LISTN", "127.0.0.1:0").output()?,
        1,
        "did you mean `TIDEGATE_LISTEN`?",
    );
    fs::write(&file, "[log]\nlevel = 'info'")?;
    for (name, value, stderr) in [
        (
            "TIDEGATE_LOG__LEVEL",
            "=,=",
            "`TIDEGATE_LOG__LEVEL` is not a log level",
        ),
        (
            "tidegate_dev",
            "yes",
            "`tidegate_dev` is \"yes\", but must be `true` or `false`",
        ),
        ("TIDEGATE_LOG", "{format=xml}", "`TIDEGATE_LOG` is \"xml\""),
        (
            "TIDEGATE_TLS__CERT",
            "cert.pem",
            "`TIDEGATE_TLS__CERT` requires",
        ),
        (
            "TIDEGATE_LIMITS__CONNECTIONS",
            "-1",
            "`TIDEGATE_LIMITS__CONNECTIONS` is -1",
        ),
        (
            "TIDEGATE_LIMITS__FEEDBACK_PER_UPDATE",
            "9",
            "`TIDEGATE_LIMITS__FEEDBACK_PER_UPDATE` must be at least 10",
        ),
        (
            "TIDEGATE_LIMITS__FEEDBACK_PER_UPDATE",
            "many",
            "`TIDEGATE_LIMITS__FEEDBACK_PER_UPDATE` is \"many\"",
        ),
        (
            "TIDEGATE_DDI__LINKS",
            "ftp",
            "`TIDEGATE_DDI__LINKS` is \"ftp\"",
        ),
    ] {
        let output = serve(&file).env(name, value).output()?;
        check(&output, 1, &format!("the environment variable {stderr}"));
    }
    Ok(())
}

#[test]
fn a_secret_that_can_be_guessed_stops_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut serve = tidegate();
    serve.arg("serve").arg("--data-dir").arg(folder.path());
    serve.arg("--components").arg(folder.path());
    serve.args(["--listen", "127.0.0.1:0"]);
    for secret in ["", "short"] {
        fs::write(folder.path().join("auth-secret"), secret)?;
        let output = serve.output()?;
        let expected = format!(
            "auth-secret has {} bytes, but needs at least 32",
            secret.len()
        );
        check(&output, 1, &expected);
        check(
            &output,
            1,
            "delete it, so that the next start makes a new one",
        );
    }
    Ok(())
}

#[test]
fn development_mode_does_not_start_on_a_network() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let mut serve = tidegate();
        serve.args(["serve", "--dev", "--listen", address]);
        serve.arg("--data-dir").arg(folder.path().join("data"));
        serve.arg("--components").arg(folder.path());
        check(&serve.output()?, 1, "--allow-dev-on-network");
        assert!(!folder.path().join("data").exists(), "nothing was created");
    }
    // With the flag the start gets as far as this address, which is in use.
    let occupied = TcpListener::bind("0.0.0.0:0")?;
    let mut serve = tidegate();
    serve.args(["serve", "--dev", "--allow-dev-on-network"]);
    serve.args(["--listen", &occupied.local_addr()?.to_string()]);
    serve.arg("--data-dir").arg(folder.path().join("data"));
    serve.arg("--components").arg(folder.path());
    check(&serve.output()?, 1, "listen on");
    Ok(())
}

#[test]
fn variables_of_kubernetes_services_are_ignored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // The start gets as far as this address, which is in use.
    let occupied = TcpListener::bind("127.0.0.1:0")?;
    let mut serve = tidegate();
    serve.arg("serve").arg("--data-dir").arg(folder.path());
    serve.arg("--components").arg(folder.path());
    serve.args(["--listen", &occupied.local_addr()?.to_string()]);
    let output = serve
        .env("TIDEGATE_LOG__LEVEL", "debug")
        .env("TIDEGATE_SERVICE_HOST", "10.0.0.1")
        .env("TIDEGATE_SERVICE_PORT_HTTP", "8080")
        .env("TIDEGATE_PORT", "tcp://10.0.0.1:8080")
        .env("TIDEGATE_PORT_8080_TCP_ADDR", "10.0.0.1")
        .env("TIDEGATE_DB_PORT_5432_TCP", "tcp://10.0.0.2:5432")
        .output()?;
    check(&output, 1, "listen on");
    let log = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for variable in ["TIDEGATE_SERVICE_HOST", "TIDEGATE_DB_PORT_5432_TCP"] {
        let named = log
            .lines()
            .any(|line| line.contains("DEBUG") && line.contains(variable));
        assert!(named, "{variable}: {log}");
    }
    check(
        &serve.env("TIDEGATE_PORT", "8080").output()?,
        1,
        "`TIDEGATE_PORT` is an unknown setting",
    );
    Ok(())
}

/// A start can hang: here the database accepts connections and never answers.
#[test]
fn a_signal_ends_a_start_that_hangs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = TcpListener::bind("127.0.0.1:0")?;
    let mut serve = tidegate();
    serve.arg("serve").arg("--data-dir").arg(folder.path());
    serve.arg("--components").arg(folder.path());
    serve.args(["--listen", "127.0.0.1:0"]);
    let address = database.local_addr()?;
    let mut child = serve
        .env(
            "TIDEGATE_DATABASE__URL",
            format!("postgres://tidegate@{address}/tidegate"),
        )
        .stdout(Stdio::null())
        .spawn()?;
    let _connection = database.accept()?;
    let began = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    let status = child.wait()?;
    assert!(status.success(), "{status}");
    // Less than the database is waited for.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[test]
fn compile_component_runs_the_compiler() -> Result<()> {
    let mut child = tidegate()
        .arg("compile-component")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"no component")?;
    }
    let output = child.wait_with_output()?;
    assert_eq!(
        output.status.code(),
        Some(65),
        "a component that cannot be compiled"
    );
    assert!(output.stdout.is_empty());
    Ok(())
}

#[test]
fn a_key_is_created_only_in_an_existing_database() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let elsewhere = folder.path().join("elsewhere");
    let key = [
        "key",
        "create",
        "--user",
        "night-shift",
        "--role",
        "operator",
    ];
    let output = tidegate()
        .args(key)
        .arg("--data-dir")
        .arg(&elsewhere)
        .output()?;
    check(&output, 1, "there is no database in");
    assert!(!elsewhere.exists(), "it created a folder");
    Ok(())
}

/// Answers each connection with `answer`, given the request's head; returns the server's URL.
fn raw_server(mut answer: impl FnMut(&str) -> String + Send + 'static) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer(&head.join("\n")).as_bytes())?;
            // A body that is not read would reset the connection before the answer is.
            stream.shutdown(Shutdown::Write)?;
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        Ok(())
    });
    Ok(url)
}

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

/// What a device, a publisher or another server may send, as JSON writes it.
const HARMFUL: &str = r"x\u001b[2J\u0007\r\n2026 forged\u007f\u009b\u202ey";

#[test]
fn no_command_prints_what_acts_on_a_terminal() -> Result<()> {
    let campaign = format!(
        r#"{{"campaign_id": 1, "name": "{HARMFUL}", "status": "completed", "explain": ["{HARMFUL}"],
            "waves": [{{"index": 0, "name": "{HARMFUL}"}}], "hold": {{"reason": "{HARMFUL}"}}}}"#
    );
    let device = format!(
        r#"{{"device_id": "{HARMFUL}", "attributes": {{"{HARMFUL}": "{HARMFUL}"}},
            "device": {{"reasons": ["{HARMFUL}"]}}, "items": [{{"device_id": "{HARMFUL}",
            "plugin": "{HARMFUL}", "explain": ["{HARMFUL}"], "campaign_name": "{HARMFUL}",
            "reasons": ["{HARMFUL}"]}}],
            "lines": [{{"at": "1", "source": "device", "text": "{HARMFUL}"}}]}}"#
    );
    let event = format!(
        "event: line\nid: 1\ndata: {{\"text\": \"{HARMFUL}\"}}\n\n\
         event: end\nid: 2\ndata: {{\"update_id\": 7, \"status\": \"{HARMFUL}\"}}\n\n"
    );
    let url = server(move |path, _| match path {
        _ if path.ends_with("/events") => ("text/event-stream", "data: {}\n\n".to_owned()),
        _ if path.ends_with("/log") => ("text/event-stream", event.clone()),
        _ if path.contains("/campaigns/1/journal") => ("application/json", device.clone()),
        _ if path.contains("/campaigns/1") => ("application/json", campaign.clone()),
        _ => ("application/json", device.clone()),
    })?;
    for command in [
        &["campaign", "show", "1"][..],
        &["campaign", "watch", "1"],
        &["campaign", "journal", "1"],
        &["device", "show", "a"],
        &["device", "list"],
        &["device", "explain", "a"],
        &["device", "log", "a", "--limit", "1"],
        &["update", "log", "7", "--follow"],
        &["settings", "show"],
    ] {
        for flag in [None, Some("--json")] {
            let output = tidegate()
                .args(command)
                .args(["--url", &url])
                .args(flag)
                .output()?;
            check(&output, 0, "");
            let shown = String::from_utf8(output.stdout)?;
            let harmful = |c: char| c != '\n' && is_harmful(c);
            assert!(!shown.contains(harmful), "{command:?}: {shown:?}");
            let forged = |line: &str| line.trim_start().starts_with("2026 forged");
            assert!(!shown.lines().any(forged), "{command:?}: {shown}");
            let escaped = match flag {
                None => r"x\u{1b}[2J\u{7}\r\n2026 forged\u{7f}\u{9b}\u{202e}y",
                Some(_) => r"x\u001b[2J\u0007\r\n2026 forged\u007f\u009b\u202ey",
            };
            assert!(shown.contains(escaped), "{command:?}: {shown}");
        }
    }
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

/// A server that answers each request with `answer`, given its path and `last-event-id`.
fn server(
    mut answer: impl FnMut(&str, Option<&str>) -> (&'static str, String) + Send + 'static,
) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut path = String::new();
            let mut after = None;
            for line in BufReader::new(&stream).lines() {
                let line = line?;
                if let Some(id) = line.strip_prefix("last-event-id: ") {
                    after = Some(id.to_owned());
                }
                if path.is_empty() {
                    path = line;
                } else if line.is_empty() {
                    break;
                }
            }
            let path = path.split(' ').nth(1).unwrap_or_default();
            let (kind, body) = answer(path, after.as_deref());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}"
            )?;
        }
        Ok(())
    });
    Ok(url)
}

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

#[test]
fn a_span_collector_that_hangs_does_not_delay_the_end() -> Result<()> {
    const GRACE: Duration = Duration::from_secs(2);
    // For a busy machine.
    const MARGIN: Duration = Duration::from_secs(2);
    // The system accepts connections, and no request is answered.
    let collector = TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let mut server = tidegate()
        .arg("serve")
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .arg("--components")
        .arg(folder.path())
        .args(["--listen", "127.0.0.1:0"])
        .env("TIDEGATE_LOG__FORMAT", "json")
        .env("TIDEGATE_SHUTDOWN_GRACE", "2s")
        .env(
            "TIDEGATE_TELEMETRY__OTLP_ENDPOINT",
            format!("http://{}", collector.local_addr()?),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = BufReader::new(server.stderr.take().context("the log")?);
    let mut lines = log.lines();
    let address = loop {
        let line = lines.next().context("the server listens")??;
        let line: Value = serde_json::from_str(&line).context(line)?;
        if line["message"] == "listening" {
            break line["addr"].as_str().context("an address")?.to_owned();
        }
    };
    let rest = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    // A request, whose span is exported.
    let mut client = TcpStream::connect(&address)?;
    write!(
        client,
        "GET /api/v1/devices HTTP/1.1\r\nhost: tide\r\nconnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    client.read_to_string(&mut response)?;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");

    let started = Instant::now();
    kill_process(Pid::from_child(&server), Signal::TERM)?;
    let status = server.wait()?;
    let elapsed = started.elapsed();
    let rest = rest.join().expect("the log is read");
    assert!(status.success(), "{status}: {rest:?}");
    assert!(elapsed < GRACE + MARGIN, "{elapsed:?}: {rest:?}");
    // The collector was sent something.
    collector.set_nonblocking(true)?;
    collector.accept().context("the spans are exported")?;
    Ok(())
}
