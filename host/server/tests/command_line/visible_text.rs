//! No command prints characters that act on a terminal, whatever a device, a publisher or another server sends.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_core::visible_text::is_harmful;

use crate::{check, raw_server, tidegate};

const HARMFUL: &str = "x\u{1b}[2J\u{7}\r\n2026 forged\u{7f}\u{9b}\u{202e}y";
/// The same as commands print it, and as they print it in JSON.
const VISIBLE: &str = r"x\u{1b}[2J\u{7}\r\n2026 forged\u{7f}\u{9b}\u{202e}y";
const VISIBLE_JSON: &str = r"x\u001b[2J\u0007\r\n2026 forged\u007f\u009b\u202ey";

/// Commands that ask no server: they print what the operator has typed, or is in the operator's own database. Those of
/// components have tests of their own.
const LOCAL: [&str; 15] = [
    "gateway-token create",
    "gateway-token revoke",
    "key create",
    "key list",
    "key revoke",
    "key show",
    "plugin bench",
    "plugin check",
    "plugin inspect",
    "plugin new",
    "plugin run",
    "plugin test",
    "serve",
    "tenant create",
    "tenant list",
];

/// What a command prints of the server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrintedPart {
    /// Its texts, as lines and in JSON.
    Texts,
    /// Its texts in JSON only.
    TextsInJson,
    /// Nothing of it.
    Nothing,
}

/// The other commands: their arguments, with `|` after the name, what they print, and their exit code.
const COMMANDS: &[(&str, PrintedPart, i32)] = {
    use PrintedPart::{Nothing, Texts, TextsInJson};
    &[
        ("campaign advance|1 0", Texts, 0),
        ("campaign approve|1", Texts, 0),
        ("campaign cancel|1", Texts, 0),
        ("campaign create|--name a", Texts, 0),
        ("campaign create|--name a --start", Texts, 0),
        ("campaign delete|1", Nothing, 0),
        ("campaign journal|1", Texts, 0),
        ("campaign list|", Texts, 0),
        (
            "campaign move|1 --revision sha256:0000000000000000000000000000000000000000000000000000000000000000 --accept-differences",
            Texts,
            0,
        ),
        ("campaign pause|1", Texts, 0),
        // JSON, whatever is asked for.
        ("campaign question|1 7", TextsInJson, 0),
        ("campaign replay|1", Texts, 1),
        ("campaign replay|1 --entry 7", TextsInJson, 0),
        ("campaign resume|1", Texts, 0),
        ("campaign rollback|1", Texts, 0),
        ("campaign set|1 --name a", Texts, 0),
        ("campaign show|1", Texts, 0),
        ("campaign start|1", Texts, 0),
        ("campaign start|1 --watch", Texts, 0),
        ("campaign updates|1", Texts, 0),
        ("campaign watch|1", Texts, 0),
        ("campaign waves|1", Texts, 0),
        ("device auto-confirm|a", Texts, 0),
        ("device auto-confirm|a --off", Nothing, 0),
        ("device changes|a", Texts, 0),
        ("device create|a", Texts, 0),
        ("device delete|a", Nothing, 0),
        ("device explain|a", Texts, 0),
        ("device list|", Texts, 0),
        ("device log|a", Texts, 0),
        // The server ends this stream, which has no end, with a refusal.
        ("device log|a --follow", Texts, 1),
        ("device rollback|a", Texts, 0),
        ("device set|a --name b", Texts, 0),
        ("device show|a", Texts, 0),
        ("device token revoke|a", Nothing, 0),
        ("device token rotate|a", Texts, 0),
        ("device update|a --firmware 1", Texts, 0),
        ("device-authority add|a --certificate Cargo.toml", Texts, 0),
        ("device-authority list|", Texts, 0),
        ("device-authority remove|1", Nothing, 0),
        ("firmware delete|1", Nothing, 0),
        ("firmware list|", Texts, 0),
        ("firmware show|1", Texts, 0),
        ("firmware upload|Cargo.toml", Texts, 0),
        ("gateway create|a", Texts, 0),
        ("gateway list|", Texts, 0),
        ("gateway revoke|1", Nothing, 0),
        ("health|", Nothing, 0),
        ("plugin default|a", Texts, 0),
        (
            "plugin default|a sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Texts,
            0,
        ),
        (
            "plugin delete|a sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Nothing,
            0,
        ),
        (
            "plugin deprecate|a sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Texts,
            0,
        ),
        (
            "plugin disable|a sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Texts,
            0,
        ),
        (
            "plugin enable|a sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Texts,
            0,
        ),
        ("plugin list|", Texts, 0),
        ("plugin rejections|", Texts, 0),
        ("plugin show|a", Texts, 0),
        ("plugin upload|Cargo.toml", Texts, 0),
        ("plugin validate|a {}", Texts, 1),
        ("settings set|a=1", Texts, 0),
        ("settings show|", Texts, 0),
        // Two words and a number.
        ("update approve|7", TextsInJson, 0),
        ("update cancel|7", Texts, 0),
        ("update list|", Texts, 0),
        ("update log|7", Texts, 0),
        ("update log|7 --follow", Texts, 0),
        ("update retry|7", Texts, 0),
        ("update show|7", Texts, 0),
    ]
};

/// One answer for all commands: every text that any of them prints is harmful.
fn answer() -> Value {
    let named = json!({
        "campaign_id": 1, "firmware_id": 1, "update_id": 7, "gateway_id": 1, "authority_id": 1, "seq": 7, "same": true,
        "applied": true, "approved": true, "status": "completed", "name": HARMFUL, "device_id": HARMFUL,
        "plugin": HARMFUL, "campaign_name": HARMFUL, "firmware_name": HARMFUL, "summary": HARMFUL, "subject": HARMFUL,
        "key": HARMFUL, "field": HARMFUL, "message": HARMFUL, "reason": HARMFUL, "text": HARMFUL, "token": HARMFUL, "call": HARMFUL, "input": [HARMFUL],
        "explain": [HARMFUL], "reasons": [HARMFUL], "attributes": { HARMFUL: HARMFUL }, "warnings": [HARMFUL],
        "hold": { "reason": HARMFUL, "by": HARMFUL }, "firmware": { "name": HARMFUL, "version": HARMFUL },
    });
    let mut answer = named.clone();
    for member in ["device", "gateway"] {
        answer[member] = named.clone();
    }
    for list in [
        "items",
        "waves",
        "revisions",
        "errors",
        "lines",
        "different",
        "not_compared",
    ] {
        answer[list] = json!([named]);
    }
    answer
}

/// Answers every request, given its head.
fn respond(head: &str) -> String {
    let event = |name: &str, id: u32| {
        let data = json!({ "update_id": 7, "status": HARMFUL, "text": HARMFUL });
        format!("event: {name}\nid: {id}\ndata: {data}\n\n")
    };
    let (status, kind, body) = if !head.contains("accept: text/event-stream") {
        ("200 OK", "application/json", answer().to_string())
    } else if head.contains("last-event-id") {
        let problem = json!({ "code": HARMFUL, "detail": HARMFUL, "errors": [] });
        (
            "404 Not Found",
            "application/problem+json",
            problem.to_string(),
        )
    } else {
        let end = if head.contains("/devices/") {
            "update"
        } else {
            "end"
        };
        let events = event("line", 1) + &event(end, 2);
        ("200 OK", "text/event-stream", events)
    };
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
}

/// The commands that the program has, by its help.
fn all_commands(parents: &[String]) -> Result<BTreeSet<String>> {
    let output = tidegate().args(parents).arg("--help").output()?;
    check(&output, 0, "");
    let help = String::from_utf8(output.stdout)?;
    let Some((_, commands)) = help.split_once("\nCommands:\n") else {
        return Ok([parents.join(" ")].into());
    };
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let mut found = BTreeSet::new();
    for line in commands.filter(|line| !line.starts_with("   ")) {
        let name = line.split_whitespace().next().context("a name")?;
        if name != "help" {
            found.extend(all_commands(&[parents, &[name.to_owned()]].concat())?);
        }
    }
    Ok(found)
}

#[test]
fn every_command_is_tested_with_harmful_text() -> Result<()> {
    let tested = COMMANDS
        .iter()
        .filter_map(|(command, ..)| command.split('|').next());
    let tested: BTreeSet<_> = tested.chain(LOCAL).map(str::to_owned).collect();
    assert_eq!(all_commands(&[])?, tested);
    Ok(())
}

#[test]
fn no_command_prints_characters_that_act_on_a_terminal() -> Result<()> {
    let url = raw_server(respond)?;
    let harmful = |c: char| c != '\n' && is_harmful(c);
    let forged = |line: &str| line.trim_start().starts_with("2026 forged");
    for (command, prints, code) in COMMANDS {
        for flag in [None, Some("--json")] {
            let arguments = command.split(['|', ' ']).filter(|word| !word.is_empty());
            let mut program = tidegate();
            program.args(arguments).args(["--url", &url]);
            if *command != "health|" {
                program.args(flag);
            }
            let output = program.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
            check(&output, *code, "");
            let shown = String::from_utf8(output.stdout)?;
            for text in [&shown, &String::from_utf8(output.stderr)?] {
                assert!(!text.contains(harmful), "{command}: {text:?}");
                assert!(!text.lines().any(forged), "{command}: {text}");
            }
            let expected = match (flag, prints) {
                (None, PrintedPart::Texts) => VISIBLE,
                (Some(_), PrintedPart::Texts | PrintedPart::TextsInJson) => VISIBLE_JSON,
                _ => continue,
            };
            assert!(shown.contains(expected), "{command} {flag:?}: {shown}");
        }
    }
    Ok(())
}
