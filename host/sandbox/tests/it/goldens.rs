//! Goldens of components: how outputs are compared, and how failures are reported.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_core::Named;
use tidegate_hostile::HostilePlugin;
use tidegate_sandbox::{CallName, Golden, GoldenOutput, GoldenRun, Plugin, golden_files};

use crate::support::SandboxFixture;

/// Loads a plugin without the checks of an upload.
async fn load(fixture: &SandboxFixture, component: Vec<u8>) -> Result<Plugin> {
    let digest = fixture.components.put(component);
    Ok(fixture.sandbox.plugin(digest).await?)
}

/// Runs the sample of a call with another expected output, JSON.
fn run(plugin: &Plugin, call: CallName, expect: Option<Value>) -> Result<GoldenRun> {
    let mut golden: Value = serde_json::from_str(&Golden::trial(plugin, call, "{}").to_json())?;
    if let Some(expect) = expect {
        golden["expect"] = expect;
    }
    Ok(Golden::parse(&golden.to_string())?.run(plugin))
}

fn output(run: GoldenRun) -> Result<GoldenOutput> {
    run.outcome.context("no output")
}

#[tokio::test]
async fn outputs_are_compared() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let plugin = load(&fixture, HostilePlugin::Honest.component()?).await?;
    let first = output(run(&plugin, CallName::Decide, None)?)?;
    assert!(!first.is_expected_known && !first.is_as_expected());
    assert_eq!(first.differences, [""; 0]);

    let blessed = Golden::parse(&first.golden)?;
    assert_eq!(blessed.to_json(), first.golden);
    let second = output(blessed.run(&plugin))?;
    assert!(second.is_as_expected());
    assert_eq!(second.golden, first.golden);

    let mut other: Value = serde_json::from_str(&first.json)?;
    assert_eq!(other["Ok"]["outcome"], json!({"Complete": "means harm"}));
    other["Ok"]["outcome"] = json!({"Hold": "wait"});
    other["Ok"]["explain"] = json!(["Why."]);
    let different = output(run(&plugin, CallName::Decide, Some(other))?)?;
    assert!(different.is_expected_known && !different.is_as_expected());
    assert_eq!(
        different.differences,
        [
            "/Ok/explain/0: expected \"Why.\", got nothing",
            r#"/Ok/outcome: expected {"Hold":"wait"}, got {"Complete":"means harm"}"#,
        ]
    );
    Ok(())
}

#[tokio::test]
async fn every_call_of_its_world_has_an_output() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let plugin = load(&fixture, HostilePlugin::Honest.component()?).await?;
    let calls = plugin.calls();
    let names: Vec<_> = calls.iter().map(Named::as_str).collect();
    assert_eq!(
        names,
        ["describe", "validate", "wants", "plan", "assign", "decide"]
    );
    for (call, (pointer, expected)) in calls.into_iter().zip([
        ("/name", json!("acme/hostile")),
        ("", json!([])),
        ("/Ok/attributes", json!([])),
        ("/Ok/waves/0/members", json!("Rest")),
        // Its own error is an output.
        ("/Err", json!("wave")),
        ("/Ok/outcome/Complete", json!("means harm")),
    ]) {
        let run = run(&plugin, call, None)?;
        assert!(run.fuel > 0 && run.fuel < run.fuel_limit, "{run:?}");
        assert_eq!(run.peak_memory, 4 * 65_536);
        assert_eq!(run.memory_limit, 64 << 20);
        let json: Value = serde_json::from_str(&output(run)?.json)?;
        assert_eq!(json.pointer(pointer), Some(&expected), "{json}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trap_is_a_failure_with_its_log() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let plugin = load(&fixture, HostilePlugin::Panic.component()?).await?;
    let run = run(&plugin, CallName::Decide, None)?;
    assert_eq!(run.log, ["means harm"]);
    let failure = run.outcome.expect_err("it traps");
    assert_eq!(failure.as_str(), "trap");
    assert!(failure.to_string().contains("means harm"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_not_exported_is_a_failure() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let plugin = load(&fixture, HostilePlugin::Honest.component()?).await?;
    let run = run(&plugin, CallName::Check, None)?;
    let failure = run.outcome.expect_err("it is a strategy");
    assert_eq!(
        failure.to_string(),
        "the plugin does not match the contract: it has no `check`: it does not export \
         `tidegate:plugin/compatibility@1.0.0`"
    );
    Ok(())
}

/// The output is well-formed, but the server would refuse it.
#[tokio::test]
async fn an_output_that_the_server_refuses_is_a_failure() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let plugin = load(&fixture, HostilePlugin::ImpossibleShare.component()?).await?;
    let run = run(&plugin, CallName::Plan, None)?;
    let failure = run.outcome.expect_err("a share above 100 %");
    assert_eq!(failure.as_str(), "invalid-answer");
    Ok(())
}

#[tokio::test]
async fn the_example_config_is_that_of_the_schema() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let canary = load(&fixture, crate::support::built_component("canary")?).await?;
    let config = fixture.sandbox.example_config(&canary).await?;
    let config = config.context("canary has an example")?;
    let run = Golden::trial(&canary, CallName::Plan, &config).run(&canary);
    assert!(output(run)?.json.starts_with("{\n  \"Ok\": "));

    let schema = r#"{"type": "object", "required": ["x"]}"#;
    let hooks = tidegate_hostile::Hooks::default().schema(schema);
    let plugin = load(&fixture, tidegate_hostile::strategy_with(&hooks)?).await?;
    assert_eq!(fixture.sandbox.example_config(&plugin).await?, None);
    Ok(())
}

#[test]
fn goldens_of_a_folder_are_ordered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["b.json", "a.json", "notes.md"] {
        std::fs::write(folder.path().join(name), "")?;
    }
    let names: Vec<_> = golden_files(folder.path())?
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    assert_eq!(names, ["a.json", "b.json"]);
    assert!(golden_files(&folder.path().join("none")).is_err());
    Ok(())
}
