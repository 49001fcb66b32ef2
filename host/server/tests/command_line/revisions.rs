//! Revisions that are named by their versions.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    thread,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_core::id::Digest;

use crate::{check, tidegate};

/// A server with the plugin `acme/rings`; returns its URL, and the requests with their bodies.
fn plugin_server() -> Result<(String, Receiver<(String, String)>)> {
    let revision = |version: &str, state: &str| json!({"version": version, "revision": digest(version), "state": state});
    let revisions = [revision("1.1.0", "candidate"), revision("1.0.0", "enabled")];
    let plugin = json!({"name": "acme/rings", "revisions": revisions}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let (sender, requests) = channel();
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut reader = BufReader::new(&stream);
            let mut head = Vec::new();
            for line in reader.by_ref().lines() {
                let line = line?;
                if line.is_empty() {
                    break;
                }
                head.push(line);
            }
            let mut lengths = head
                .iter()
                .filter_map(|line| line.strip_prefix("content-length: "));
            let length = lengths.next().map_or(Ok(0), str::parse)?;
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let request = head[0].trim_end_matches(" HTTP/1.1").to_owned();
            let answer = if request.starts_with("GET ") {
                &*plugin
            } else {
                "{}"
            };
            sender.send((request, String::from_utf8(body)?))?;
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{answer}"
            )?;
        }
        Ok(())
    });
    Ok((url, requests))
}

fn digest(version: &str) -> String {
    Digest::of(version.as_bytes()).to_string()
}

#[test]
fn a_version_names_a_revision_wherever_a_digest_does() -> Result<()> {
    let (url, requests) = plugin_server()?;
    let newest = digest("1.1.0");
    let path = format!("POST /api/v1/plugins/acme/rings/revisions/{newest}");
    let looked_up = "GET /api/v1/plugins/acme/rings";
    for (arguments, sent) in [
        (
            &["plugin", "enable", "acme/rings@1.1.0"][..],
            format!("{path}/enable"),
        ),
        (
            &["plugin", "deprecate", "acme/rings", "1.1.0"],
            format!("{path}/deprecate"),
        ),
        (
            &["plugin", "disable", "acme/rings@1.1.0"],
            format!("{path}/disable"),
        ),
        (
            &["plugin", "default", "acme/rings@1.1.0"],
            format!("{path}/default"),
        ),
        (
            &["plugin", "delete", "acme/rings@1.1.0"],
            path.replace("POST", "DELETE"),
        ),
        (
            &["campaign", "replay", "1", "--revision", "acme/rings@1.1.0"],
            format!("POST /api/v1/campaigns/1/journal/replay?limit=500&after=0&revision={newest}"),
        ),
        (
            &["campaign", "move", "1", "--revision", "acme/rings@1.1.0"],
            format!("POST /api/v1/campaigns/1/journal/replay?limit=500&after=0&revision={newest}"),
        ),
    ] {
        tidegate().args(arguments).args(["--url", &url]).output()?;
        let all: Vec<_> = requests.try_iter().map(|(request, _)| request).collect();
        assert_eq!(all[..2], [looked_up, &sent], "{arguments:?}");
    }
    let by_digest = ["plugin", "enable", "acme/rings", &newest, "--url", &url];
    check(&tidegate().args(by_digest).output()?, 0, "");
    let all: Vec<_> = requests.try_iter().map(|(request, _)| request).collect();
    assert_eq!(all, [format!("{path}/enable")], "nothing is looked up");
    Ok(())
}

#[test]
fn a_campaign_names_its_plugins_by_versions() -> Result<()> {
    let (url, requests) = plugin_server()?;
    let mut create = tidegate();
    create.args(["campaign", "create", "--name", "a", "--url", &url]);
    create.args(["--strategy", r#"acme/rings@1.0.0={"rings": 3}"#]);
    create.args(["--policy", "acme/rings@1.1.0", "--policy", "hardware"]);
    check(&create.output()?, 0, "");
    let (request, body) = requests.try_iter().last().context("a request")?;
    assert_eq!(request, "POST /api/v1/campaigns");
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!(
        body,
        json!({
            "name": "a",
            "strategy": {"plugin": "acme/rings", "revision": digest("1.0.0"), "config": {"rings": 3}},
            "policies": [
                {"plugin": "acme/rings", "revision": digest("1.1.0"), "config": {}},
                {"plugin": "hardware", "config": {}},
            ],
        })
    );
    Ok(())
}

#[test]
fn a_version_that_does_not_exist_lists_those_that_do() -> Result<()> {
    let (url, _requests) = plugin_server()?;
    let run = |arguments: &[&str]| tidegate().args(arguments).args(["--url", &url]).output();
    let listed =
        "error: acme/rings has no version 2.0.0; there is 1.1.0 (candidate), 1.0.0 (enabled)";
    check(&run(&["plugin", "enable", "acme/rings@2.0.0"])?, 1, listed);
    let strategy = "acme/rings@2.0.0";
    check(
        &run(&["campaign", "create", "--strategy", strategy])?,
        1,
        listed,
    );
    check(
        &run(&["plugin", "enable", "acme/rings"])?,
        1,
        "name a revision: `acme/rings@VERSION`, or `acme/rings sha256:...`",
    );
    check(
        &run(&["plugin", "enable", "acme/rings@1.0.0", "1.1.0"])?,
        1,
        "name one revision",
    );
    check(
        &run(&["campaign", "move", "1", "--revision", "acme/rings"])?,
        2,
        "`acme/rings@VERSION`",
    );
    Ok(())
}
