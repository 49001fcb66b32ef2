//! Configs are checked against the plugin's schema, then by the plugin.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tidegate_core::{id::Digest, visible_text::is_harmful};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use tidegate_hostile::{
    DATA_KEYWORDS, Hooks, HostilePlugin, doubling_schema, slow_config, slow_schema, strategy_with,
};

use crate::support::{CHILD_PROGRAM, OTHER_TENANT, SandboxFixture, TENANT};

#[tokio::test]
async fn errors_name_the_field_by_pointer() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let schema =
        r#"{"properties": {"waves": {"items": {"properties": {"percent": {"maximum": 100}}}}}}"#;
    let digest = fixture
        .upload(strategy_with(&Hooks::default().schema(schema))?)
        .await?
        .digest;
    let good = fixture
        .sandbox
        .validate(TENANT, digest, r#"{"waves": [{"percent": 100}]}"#)
        .await;
    assert_eq!(good.outcome?, []);
    assert!(good.cost.is_some_and(|(fuel, _)| fuel > 0));
    for (config, path) in [
        (
            r#"{"waves": [{"percent": 1}, {"percent": 101}]}"#,
            "/waves/1/percent",
        ),
        ("[]", ""),
        ("{", ""),
        ("", ""),
    ] {
        let refused = fixture.sandbox.validate(TENANT, digest, config).await;
        assert_eq!(
            refused.cost, None,
            "the plugin is not called if the schema finds errors"
        );
        let errors = refused.outcome?;
        assert_eq!(errors.len(), 1, "{config}: {errors:?}");
        assert_eq!(errors[0].path, path, "{config}: {errors:?}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_of_a_config_show_the_control_characters_of_a_schema_as_escapes() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let foreign = "\u{1b}[2J\u{7}\u{9b}\u{202e}\n";
    let schema = json!({
        "properties": {
            "text": {"pattern": "^[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{202e}]*$"},
            "choice": {"enum": [foreign, "a"]},
            "constant": {"const": foreign},
            "object": {"required": [foreign]},
            foreign: {"type": "integer"},
        },
        "additionalProperties": false,
        "description": "An honest schema\nof two lines"
    });
    let plugin = strategy_with(&Hooks::default().schema(schema.to_string()))?;
    let digest = fixture.upload(plugin).await?.digest;
    for (config, part) in [
        (json!({ "text": foreign }), "does not match"),
        (json!({ "choice": "b" }), r"\u{202e}"),
        (json!({ "constant": "b" }), r"\u{202e}"),
        (json!({ "object": {} }), "is missing"),
        (json!({ foreign: "a" }), "integer"),
        (json!({ "\u{1b}\u{202e}": 1 }), "unknown field"),
    ] {
        let config = config.to_string();
        let checked = fixture.sandbox.validate(TENANT, digest, &config).await;
        let errors = checked.outcome?;
        assert_eq!(errors.len(), 1, "{config}: {errors:?}");
        let text = format!("{} {}", errors[0].path, errors[0].message);
        assert!(!text.contains(is_harmful), "{text:?}");
        assert!(text.contains(part), "{text:?}");
    }
    let honest = fixture.sandbox.validate(TENANT, digest, r#"{"text": "a"}"#);
    assert_eq!(honest.await.outcome?, []);

    let invalid = json!({ "properties": { foreign: { "type": foreign } } }).to_string();
    let refused = fixture
        .refusal(strategy_with(&Hooks::default().schema(invalid))?)
        .await?;
    assert!(!refused.contains(is_harmful), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn bad_schemas_are_refused_at_upload() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for (schema, message) in [
        (
            r#"{"$ref": "http://127.0.0.1:1/schema"}"#,
            "may refer only to its own parts",
        ),
        (
            r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
            "draft/2020-12",
        ),
        (r##"{"items": {"$ref": "#"}}"##, "is recursive"),
        (r#"{"type": 7}"#, "not a JSON Schema"),
        ("", "not JSON"),
    ] {
        let why = fixture
            .refusal(strategy_with(&Hooks::default().schema(schema))?)
            .await?;
        assert!(why.contains(message), "{schema}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_schema_is_measured_whatever_its_properties_are_called() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for property in DATA_KEYWORDS {
        let mut schema = doubling_schema(property);
        for has_example in [false, true] {
            if has_example {
                schema["examples"] = json!([{ property: 1 }]);
            }
            let hooks = schema.to_string();
            let why = fixture
                .refusal(strategy_with(&Hooks::default().schema(hooks))?)
                .await?;
            assert!(
                why.contains("its config schema: it is nested more than 64 levels deep"),
                "{property}: {why}"
            );
        }
    }
    // The names themselves are allowed.
    let schema =
        json!({"properties": {"default": {"type": "integer"}}, "examples": [{"default": 1}]});
    let schema = schema.to_string();
    let honest = fixture
        .upload(strategy_with(&Hooks::default().schema(schema))?)
        .await?;
    for (config, errors) in [(r#"{"default": 1}"#, 0), (r#"{"default": "1"}"#, 1)] {
        let validated = fixture
            .sandbox
            .validate(TENANT, honest.digest, config)
            .await;
        assert_eq!(validated.outcome?.len(), errors, "{config}");
    }
    Ok(())
}

/// Uploads a plugin whose schema is slow to check, and an honest one.
async fn upload_slow_and_honest(fixture: &SandboxFixture) -> Result<(Digest, Digest)> {
    let schema = slow_schema().to_string();
    let slow = strategy_with(&Hooks::default().schema(schema))?;
    let slow = fixture.upload(slow).await?.digest;
    let honest = fixture.upload(HostilePlugin::Honest.component()?).await?;
    Ok((slow, honest.digest))
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_ended() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let (slow, honest) = upload_slow_and_honest(&fixture).await?;
    let validated = fixture
        .sandbox
        .validate(TENANT, slow, &slow_config().to_string())
        .await;
    let failure = validated.outcome.err().context("the check has ended")?;
    assert_eq!(
        failure.to_string(),
        "the plugin's output violates the contract: its config schema takes too long to check: more than 1 s of CPU \
         time"
    );
    assert!(failure.is_deterministic(), "not the server's failure");
    // Other configs of the plugin, and other plugins, are checked as before.
    let short = fixture
        .sandbox
        .validate(TENANT, slow, r#"{"text": "b"}"#)
        .await;
    assert_eq!(short.outcome?, []);
    let other = fixture.sandbox.validate(TENANT, honest, "{}").await;
    assert_eq!(other.outcome?, []);
    Ok(())
}

#[tokio::test]
async fn a_schema_that_is_slow_with_its_own_example_is_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let mut schema = slow_schema();
    // A schema has 64 KiB at most, so its example is shorter. The patterns are checked more often instead.
    let text = slow_config()["text"].as_str().context("a text")?[..40_000].to_owned();
    schema["examples"] = json!([{ "text": text }]);
    let schema = schema.to_string();
    let why = fixture
        .refusal(strategy_with(&Hooks::default().schema(schema))?)
        .await?;
    assert!(
        why.starts_with("reading its description: ") && why.contains("takes too long to check"),
        "{why}"
    );
    Ok(())
}

#[tokio::test]
async fn slow_checks_of_a_tenant_delay_no_other_tenant() -> Result<()> {
    let fixture = SandboxFixture::with(|config| config.limits.calls_at_once = 1)?;
    let (slow, honest) = upload_slow_and_honest(&fixture).await?;
    let config = slow_config().to_string();
    let check = || fixture.sandbox.validate(TENANT, slow, &config);
    let slow_checks = async { tokio::join!(check(), check(), check(), check()) };
    let other = async {
        for _ in 0..20 {
            let validated = fixture.sandbox.validate(OTHER_TENANT, honest, "{}").await;
            assert_eq!(validated.outcome?, []);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        biased;
        _ = slow_checks => anyhow::bail!("the other tenant waited for slow checks"),
        others = other => others?,
    }
    Ok(())
}

/// A fixture whose child processes are started by a shell script, which gets the program's name as `$0` and the name of
/// the work as `$1`. Returns it with the file `$LOG`.
fn scripted(
    folder: &TempDir,
    script: &str,
    deadline: Duration,
) -> Result<(SandboxFixture, PathBuf)> {
    let log = folder.path().join("log");
    let script = script.replace("$LOG", &format!("'{}'", log.display()));
    let fixture = SandboxFixture::with(|config| {
        config.limits.config_check_deadline = deadline;
        config.child_command.program = "/bin/sh".into();
        config.child_command.args = vec!["-c".into(), script.into(), CHILD_PROGRAM.into()];
    })?;
    Ok((fixture, log))
}

/// Starts the real program, and logs its process id if it checks configs.
const LOG_CHECKERS: &str = r#"[ "$1" = check-configs ] && echo $$ >> $LOG; exec "$0" "$1""#;

/// The ids of the logged processes.
fn logged(log: &Path) -> Result<Vec<i32>> {
    let log = std::fs::read_to_string(log)?;
    log.lines().map(|line| Ok(line.parse()?)).collect()
}

#[tokio::test]
async fn checks_reuse_one_process() -> Result<()> {
    let folder = TempDir::new()?;
    let (fixture, log) = scripted(&folder, LOG_CHECKERS, Duration::from_secs(10))?;
    let honest = fixture.upload(HostilePlugin::Honest.component()?).await?;
    for _ in 0..100 {
        let validated = fixture.sandbox.validate(TENANT, honest.digest, "{}").await;
        assert_eq!(validated.outcome?, []);
    }
    let processes = logged(&log)?;
    assert_eq!(processes.len(), 1, "the upload started it");

    // If it is gone, the next check starts another one.
    let pid = Pid::from_raw(processes[0]).context("a process id")?;
    kill_process(pid, Signal::KILL)?;
    let validated = fixture.sandbox.validate(TENANT, honest.digest, "{}").await;
    assert_eq!(validated.outcome?, []);
    assert_eq!(logged(&log)?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_killed() -> Result<()> {
    let folder = TempDir::new()?;
    let script =
        r#"[ "$1" = check-configs ] && echo $$ >> $LOG && exec sleep 1000; exec "$0" "$1""#;
    let deadline = Duration::from_millis(100);
    let (fixture, log) = scripted(&folder, script, deadline)?;
    let honest = fixture.components.put(HostilePlugin::Honest.component()?);
    let validated = fixture.sandbox.validate(TENANT, honest, "{}").await;
    assert_eq!(validated.outcome, Err(CallFailure::Deadline(deadline)));
    let pid = logged(&log)?[0];
    let gone = async {
        while Path::new(&format!("/proc/{pid}")).exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await?;
    Ok(())
}

/// A process that checks configs, driven by hand.
struct CheckProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl CheckProcess {
    fn start() -> Result<Self> {
        let mut child = Command::new(CHILD_PROGRAM)
            .arg("check-configs")
            .env("CHECK_CPU_SECONDS", "1000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            stdin: child.stdin.take().context("a pipe")?,
            stdout: child.stdout.take().context("a pipe")?,
            child,
        })
    }

    fn send(&mut self, schema: &str, config: &str) -> Result<()> {
        let request = json!({"schema": schema, "task": {"Check": {"config": config}}});
        let request = request.to_string();
        self.stdin
            .write_all(&u32::try_from(request.len())?.to_le_bytes())?;
        Ok(self.stdin.write_all(request.as_bytes())?)
    }

    /// Checks a config that is valid.
    fn check(&mut self, schema: &str, config: &str) -> Result<()> {
        self.send(schema, config)?;
        let mut length = [0; 4];
        self.stdout.read_exact(&mut length)?;
        let mut response = vec![0; u32::from_le_bytes(length) as usize];
        self.stdout.read_exact(&mut response)?;
        assert_eq!(String::from_utf8(response)?, r#"{"Errors":[]}"#);
        Ok(())
    }
}

/// No check outlives the server.
#[test]
fn the_process_ends_with_its_parent() -> Result<()> {
    let mut process = CheckProcess::start()?;
    let schema = slow_schema().to_string();
    process.check(&schema, r#"{"text": "b"}"#)?;
    process.send(&schema, &slow_config().to_string())?;
    let CheckProcess {
        mut child, stdin, ..
    } = process;
    drop(stdin);
    let status = child.wait()?;
    assert!(status.success(), "{status}");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The figure itself is one of the benchmarks.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_check_costs_a_fraction_of_a_process() -> Result<()> {
    const FIELDS: usize = 100;
    let fields = (0..FIELDS).map(|n| (format!("field-{n}"), json!({"pattern": "^[a-z]{1,9}$"})));
    let schema = json!({"properties": fields.collect::<serde_json::Map<_, _>>()}).to_string();
    let config = r#"{"field-1": "canary"}"#;
    let fixture = SandboxFixture::new()?;
    let plugin = strategy_with(&Hooks::default().schema(&schema))?;
    let digest = fixture.upload(plugin).await?.digest;
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    // In turns, because the machine is shared.
    for _ in 0..25 {
        let started = Instant::now();
        let mut process = CheckProcess::start()?;
        process.check(&schema, config)?;
        cold.push(started.elapsed());
        process.child.kill()?;
        process.child.wait()?;
        for _ in 0..4 {
            let started = Instant::now();
            let validated = fixture.sandbox.validate(TENANT, digest, config).await;
            assert_eq!(validated.outcome?, []);
            warm.push(started.elapsed());
        }
    }
    let (warm, cold) = (median(warm), median(cold));
    assert!(warm < cold / 4, "{warm:?}, a new process {cold:?}");
    Ok(())
}
