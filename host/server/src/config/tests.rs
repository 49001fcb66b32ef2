use std::{fs, path::Path};

use anyhow::Result;
use tidegate_core::settings::DdiLinks;
use tidegate_engine::JournalSettings;
use tidegate_http::PluginLabels;

use super::*;

fn load(text: &str) -> Result<Config> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text)?;
    Config::load(Some(&file))
}

/// The error for a file with this content, with `tidegate.toml` instead of its path.
fn error(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text).expect("a file");
    let error = Config::load(Some(&file)).expect_err("an invalid configuration");
    format!("{error:#}").replace(&*file.to_string_lossy(), "tidegate.toml")
}

#[test]
fn the_example_file_lists_the_defaults() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tidegate.example.toml");
    assert_eq!(Config::load(Some(&example))?, Config::load(None)?);
    // Settings in comments must be valid too.
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
    assert!(full.metrics.listen.is_some() && full.metrics.token.is_some());
    // Values that the example calls defaults must be the defaults.
    let cores_aside = |limits: SandboxLimits| SandboxLimits {
        calls_at_once: 4,
        ..limits
    };
    assert_eq!(full.sandbox.limits(), cores_aside(SandboxLimits::default()));
    let code_cache = tidegate_sandbox::SandboxConfig::new("code").code_cache_bytes;
    assert_eq!(full.sandbox.code_cache_bytes, Some(code_cache));
    assert!(full.plugins.is_some());
    Ok(())
}

#[test]
fn a_collector_is_named_by_a_url() -> Result<()> {
    for endpoint in ["http://localhost:4318", "https://otel.example/tenant"] {
        load(&format!("[telemetry]\notlp_endpoint = '{endpoint}'"))?;
    }
    for endpoint in [
        "localhost:4318",
        "grpc://localhost:4317",
        "http://localhost:4318?tenant=1",
        "http://",
        "",
    ] {
        let error = error(&format!("[telemetry]\notlp_endpoint = '{endpoint}'"));
        assert!(error.contains("telemetry.otlp_endpoint"), "{error}");
    }
    Ok(())
}

#[test]
fn metrics_have_an_address_and_a_token_only_if_configured() -> Result<()> {
    let metrics = load("")?.metrics;
    assert_eq!((metrics.listen, metrics.token.as_deref()), (None, None));
    assert!(!metrics.access().has_own_address);
    assert_eq!(metrics.plugin_labels(), PluginLabels::BuiltIn);
    let metrics = load(
        "[metrics]\nlisten = '127.0.0.1:9464'\ntoken = '0123456789abcdef'\nplugin_names = true",
    )?;
    let access = metrics.metrics.access();
    assert!(access.has_own_address);
    assert_eq!(access.token.as_deref(), Some("0123456789abcdef"));
    assert_eq!(metrics.metrics.plugin_labels(), PluginLabels::All);
    Ok(())
}

#[test]
fn journals_have_a_bound_and_a_time() -> Result<()> {
    let settings = load("[journal]\nmax_bytes_per_campaign = 1_048_576\nretention_days = 30")?;
    let settings = settings.journal.settings();
    assert_eq!(settings.max_bytes_per_campaign, 1 << 20);
    assert_eq!(settings.retention, Some(Duration::from_hours(720)));
    assert_eq!(load("")?.journal.settings(), JournalSettings::default());
    for (setting, reason) in [
        ("max_bytes_per_campaign = 1_048_575", "at least 1048576"),
        ("retention_days = 36_526", "at most 36525"),
    ] {
        let error = error(&format!("[journal]\n{setting}"));
        let name = setting.split(' ').next().unwrap_or_default();
        assert!(error.contains(&format!("journal.{name}")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    Ok(())
}

#[test]
fn the_cache_of_compiled_code_has_room_for_the_built_in_plugins() -> Result<()> {
    load("[sandbox]\ncode_cache_bytes = 67_108_864")?;
    let error = error("[sandbox]\ncode_cache_bytes = 67_108_863");
    assert!(error.contains("sandbox.code_cache_bytes"), "{error}");
    assert!(error.contains("must be at least 67108864"), "{error}");
    Ok(())
}

#[test]
fn refused_logins_have_a_limit() -> Result<()> {
    for (text, expected) in [
        ("", 10),
        ("[limits]\nrefused_logins_per_minute = 0", 0),
        ("[limits]\nrefused_logins_per_minute = 300", 300),
    ] {
        let limits = load(text)?.limits.settings();
        assert_eq!(limits.refused_logins_per_minute, expected, "{text}");
    }
    Ok(())
}

#[test]
fn a_file_changes_what_it_names() -> Result<()> {
    let config = load("dev = true\n[devices]\npolling_interval = '30s'\n[log]\nformat = 'json'")?;
    assert!(config.dev);
    assert_eq!(
        config.devices.polling_interval,
        ConfigDuration(std::time::Duration::from_secs(30))
    );
    assert_eq!(config.devices.sw_version, ["sw_version"]);
    assert_eq!(config.log.format, LogFormat::Json);
    Ok(())
}

#[test]
fn links_to_files_have_the_configured_names() -> Result<()> {
    for (text, expected) in [
        ("", DdiLinks::Http),
        ("[ddi]\nlinks = 'http'", DdiLinks::Http),
        ("[ddi]\nlinks = 'https'", DdiLinks::Https),
        ("[ddi]\nlinks = 'both'", DdiLinks::Both),
    ] {
        assert_eq!(DdiLinks::from(load(text)?.ddi.links), expected, "{text}");
    }
    Ok(())
}

#[test]
fn proxies_are_addresses_and_networks() -> Result<()> {
    let text = "[http]\ntrusted_proxies = ['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '::1']";
    let trusted = load(text)?.http.proxies()?.networks;
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
    let named = "`devices.poling_interval` in tidegate.toml is an unknown setting: expected one of";
    assert!(message.contains(named), "{message}");
    assert!(message.contains("`polling_interval`"), "{message}");
    let message = error("lsiten = '127.0.0.1:1'");
    assert!(message.contains("`lsiten` in tidegate.toml"), "{message}");
    assert!(message.ends_with("did you mean `listen`?"), "{message}");
}

#[test]
fn bad_values_are_named() {
    for (text, part) in [
        (
            "listen = 'here'",
            "`listen` in tidegate.toml is \"here\", but must be an address and a port",
        ),
        ("[ddi]\nlinks = 'ftp'", "`ddi.links` in tidegate.toml"),
        (
            "[devices]\npolling_interval = '-5m'",
            "`devices.polling_interval` in tidegate.toml is \"-5m\", but must be a duration, not negative",
        ),
        (
            "[devices]\npolling_interval = 5",
            "`devices.polling_interval` in tidegate.toml is 5, but must be a duration",
        ),
        (
            "[devices]\npolling_interval = '48h'",
            "`devices.polling_interval` in tidegate.toml must be at least 1s and less than 24h",
        ),
        (
            "[devices]\npolling_jitter_percent = 101",
            "`devices.polling_jitter_percent` in tidegate.toml must be at most 100",
        ),
        (
            "[devices]\npolling_jitter_percent = 300",
            "polling_jitter_percent` in tidegate.toml is 300, but must be a whole number from 0 to 255",
        ),
        (
            "devices = 5",
            "`devices` in tidegate.toml is 5, but must be a table",
        ),
        (
            "dev = 'yes'",
            "`dev` in tidegate.toml is \"yes\", but must be `true` or `false`",
        ),
        (
            "[log]\nformat = 'xml'",
            "`log.format` in tidegate.toml is \"xml\", but must be `human` or `json`",
        ),
        (
            "[log]\nlevel = '=,='",
            "`log.level` in tidegate.toml is not a log level",
        ),
        (
            "[auth]\nsecret = 'short'",
            "`auth.secret` in tidegate.toml has 5 bytes, but needs at least 32",
        ),
        (
            "[auth]\nmax_token_lifetime = '10ms'",
            "`auth.max_token_lifetime` in tidegate.toml must be at least 1s",
        ),
        (
            "[http]\npublic_url = 'gate.example'",
            "`http.public_url` in tidegate.toml is `gate.example`, not a URL",
        ),
        (
            "[artifacts]\nmax_bytes = -1",
            "`artifacts.max_bytes` in tidegate.toml is -1, but must be a whole number",
        ),
        ("listen = ", "tidegate.toml cannot be read: TOML"),
        (
            "[http]\ntrusted_proxies = ['gate']",
            "`http.trusted_proxies` in tidegate.toml contains `gate`",
        ),
        (
            "[http]\ntrusted_proxies = [5]",
            "`http.trusted_proxies.0` in tidegate.toml is 5, but must be a string",
        ),
        (
            "[http]\nforwarded = 'both'",
            "`http.forwarded` in tidegate.toml is \"both\", but must be `x-forwarded` or `forwarded`",
        ),
        (
            "[http]\ndevice_headers = []",
            "`http.device_headers` in tidegate.toml and `http.authority_headers` must have the same length",
        ),
        (
            "[http]\ndevice_headers = ['a b']\nauthority_headers = ['c']",
            "`http.device_headers` in tidegate.toml contains `a b`",
        ),
        (
            "[tls]\nkey = 'key.pem'",
            "`tls.key` in tidegate.toml requires `tls.cert`",
        ),
        (
            "[tls]\nclient_auth = 'maybe'",
            "`tls.client_auth` in tidegate.toml is \"maybe\"",
        ),
        (
            "[limits]\nconnections = 0",
            "`limits.connections` in tidegate.toml",
        ),
        (
            "[limits]\nanswer_silence = '10ms'",
            "`limits.answer_silence` in tidegate.toml must be at least 1s",
        ),
        (
            "[metrics]\nlisten = 'here'",
            "`metrics.listen` in tidegate.toml is \"here\", but must be an address and a port",
        ),
        (
            "[metrics]\ntoken = 'too short'",
            "`metrics.token` in tidegate.toml must have at least 16 visible ASCII characters",
        ),
        (
            "[metrics]\ntoken = 'with spaces in between'",
            "`metrics.token` in tidegate.toml must have at least 16 visible ASCII characters",
        ),
        (
            "[limits]\nrefused_logins_per_minute = -1",
            "`limits.refused_logins_per_minute` in tidegate.toml is -1, but must be a whole number",
        ),
        (
            "[sandbox]\nfuel = 2_000_000_000",
            "`sandbox.fuel` in tidegate.toml is 2000000000, and must be between 1 and 1000000000",
        ),
    ] {
        let message = error(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn secrets_are_not_shown_in_errors() {
    for text in [
        "[auth]\nsecret = 12345678",
        "[database]\nurl = 12345678",
        "auth = '12345678'",
        "[metrics]\ntoken = 12345678",
        "metrics = '12345678'",
    ] {
        let message = error(text);
        assert!(message.contains("tidegate.toml must be a "), "{message}");
        assert!(!message.contains("12345678"), "{message}");
    }
}

#[test]
fn a_missing_file_is_an_error() {
    assert!(Config::load(Some(Path::new("/does/not/exist.toml"))).is_err());
}

#[test]
fn development_mode_is_for_loopback_addresses_unless_a_network_is_allowed() -> Result<()> {
    for (listen, is_loopback) in [
        ("127.0.0.1:8080", true),
        ("127.0.0.77:0", true),
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:8080", true),
        ("0.0.0.0:8080", false),
        ("[::]:8080", false),
        ("10.0.0.7:8080", false),
        ("[fe80::1]:8080", false),
    ] {
        let config = load(&format!("listen = '{listen}'\ndev = true"))?;
        let checked = config.check_dev();
        assert_eq!(checked.is_ok(), is_loopback, "{listen}");
        if let Err(error) = checked {
            let error = error.to_string();
            assert!(error.contains("--allow-dev-on-network"), "{error}");
        }
        for rest in ["", "dev = true\nallow_dev_on_network = true"] {
            load(&format!("listen = '{listen}'\n{rest}"))?.check_dev()?;
        }
    }
    let metrics = load("dev = true\n[metrics]\nlisten = '0.0.0.0:9090'")?;
    assert!(metrics.check_dev().is_err(), "they name what runs");
    Ok(())
}

#[test]
fn a_file_with_a_secret_is_known() -> Result<()> {
    let secret = format!("[auth]\nsecret = '{}'", "x".repeat(32));
    for (text, has_secret) in [
        ("dev = true", false),
        (&*secret, true),
        ("[database]\nurl = 'postgres://tide:gate@db/tide'", true),
        ("[database]\nurl = 'sqlite:tide.db'", false),
        ("[metrics]\ntoken = '0123456789abcdef'", true),
    ] {
        let config = load(text)?;
        assert_eq!(config.file_with_secrets.is_some(), has_secret, "{text}");
        assert_eq!(config.secret_files().count(), usize::from(has_secret));
    }
    let config = Config {
        tls: Tls {
            key: Some("key.pem".into()),
            ..Tls::default()
        },
        ..Config::default()
    };
    assert!(config.secret_files().eq([Path::new("key.pem")]));
    Ok(())
}
