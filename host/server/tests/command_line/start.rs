//! Exit codes, and what stops or delays the start of the program.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{check, tidegate};

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
    for (address, metrics) in [
        ("0.0.0.0:0", None),
        ("[::]:0", None),
        ("192.168.0.10:0", None),
        ("127.0.0.1:0", Some("0.0.0.0:0")),
        ("127.0.0.1:0", Some("192.168.0.10:0")),
    ] {
        let mut serve = tidegate();
        serve.args(["serve", "--dev", "--listen", address]);
        serve.envs(metrics.map(|metrics| ("TIDEGATE_METRICS__LISTEN", metrics)));
        serve.arg("--data-dir").arg(folder.path().join("data"));
        serve.arg("--components").arg(folder.path());
        let reachable = metrics.unwrap_or(address);
        let expected = format!(
            "other machines can reach {reachable}: listen on 127.0.0.1, or allow that with --allow-dev-on-network"
        );
        check(&serve.output()?, 1, &expected);
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
