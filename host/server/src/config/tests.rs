use std::{fs, path::Path};

use anyhow::Result;

use super::*;

fn load(text: &str) -> Result<Config> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text)?;
    Config::load(Some(&file))
}

fn error(text: &str) -> String {
    let error = load(text).expect_err("it is not as it must be");
    format!("{error:#}")
}

#[test]
fn the_example_says_what_the_defaults_are() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tidegate.example.toml");
    assert_eq!(Config::load(Some(&example))?, Config::load(None)?);
    // What is commented out there must be right too.
    let text = fs::read_to_string(example)?;
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.split(' ').nth(1) == Some("=") => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let full = load(&uncommented)?;
    assert!(full.auth.secret.is_some() && full.database.url.is_some() && full.components.is_some());
    // What the example calls a default is one.
    let cores_aside = |limits: Limits| Limits {
        calls_at_once: 4,
        ..limits
    };
    assert_eq!(full.sandbox.limits(), cores_aside(Limits::default()));
    Ok(())
}

#[test]
fn a_file_changes_what_it_names() -> Result<()> {
    let config = load("dev = true\n[devices]\npolling_interval = '30s'\n[log]\nformat = 'json'")?;
    assert!(config.dev);
    assert_eq!(
        config.devices.polling_interval,
        Period(std::time::Duration::from_secs(30))
    );
    assert_eq!(config.devices.sw_version, ["sw_version"]);
    assert_eq!(config.log.format, LogFormat::Json);
    Ok(())
}

#[test]
fn proxies_are_addresses_and_networks() -> Result<()> {
    let text = "[http]\ntrusted_proxies = ['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '::1']";
    let trusted = load(text)?.http.proxies()?.trusted;
    let trusted: Vec<_> = trusted.iter().map(ToString::to_string).collect();
    assert_eq!(
        trusted,
        ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "::1/128"]
    );
    Ok(())
}

#[test]
fn unknown_keys_are_named() {
    let message = error("[devices]\npoling_interval = '5m'");
    assert!(message.contains("poling_interval"), "{message}");
    assert!(message.contains("`polling_interval`"), "{message}");
    let message = error("lsiten = '127.0.0.1:1'");
    assert!(message.contains("lsiten"), "{message}");
}

#[test]
fn bad_values_are_named() {
    for (text, part) in [
        ("listen = 'here'", "listen"),
        ("[devices]\npolling_interval = '-5m'", "negative"),
        ("[devices]\npolling_interval = '2d'", "polling_interval"),
        (
            "[devices]\npolling_jitter_percent = 101",
            "polling_jitter_percent",
        ),
        ("[log]\nformat = 'xml'", "xml"),
        ("[auth]\nsecret = 'short'", "at least 32"),
        ("[artifacts]\nmax_bytes = -1", "max_bytes"),
        ("listen = ", "TOML"),
        ("[http]\ntrusted_proxies = ['gate']", "gate"),
        ("[http]\nforwarded = 'both'", "both"),
        ("[http]\ndevice_headers = []", "as many"),
        (
            "[http]\ndevice_headers = ['a b']\nauthority_headers = ['c']",
            "a b",
        ),
        ("[tls]\ncert = 'cert.pem'", "go together"),
        ("[tls]\nclient_auth = 'maybe'", "maybe"),
        ("[limits]\nconnections = 0", "limits.connections"),
        ("[limits]\nanswer_silence = '10ms'", "limits.answer_silence"),
    ] {
        let message = error(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn a_missing_file_is_an_error() {
    assert!(Config::load(Some(Path::new("/does/not/exist.toml"))).is_err());
}
