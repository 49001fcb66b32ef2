//! The components that `cargo xtask components` builds: each is accepted, and reproduces its goldens through Wasm,
//! deterministically. Those of `tests/trials` are in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::Sandbox as _;
use tidegate_sandbox::{CallName, ComponentInterface, Golden, Plugin, golden_files};

use crate::support::{SandboxFixture, TENANT, built_component, observation, plan_input};

/// A component, and the folder of its goldens.
struct Guest {
    name: String,
    component: PathBuf,
    goldens: PathBuf,
}

/// Plugins, policies and trials.
fn guests() -> Result<Vec<Guest>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut guests = Vec::new();
    for (family, goldens, components) in [
        ("plugins", "golden", ""),
        ("policies", "golden", ""),
        ("tests/trials/golden", "", "trials"),
    ] {
        for entry in fs::read_dir(root.join(family))? {
            let entry = entry?;
            let goldens = entry.path().join(goldens);
            if goldens.is_dir() {
                let name = entry.file_name().to_string_lossy().into_owned();
                guests.push(Guest {
                    component: Path::new(components).join(&name),
                    name,
                    goldens,
                });
            }
        }
    }
    guests.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(guests)
}

#[tokio::test]
async fn goldens_through_wasm() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    for guest in guests()? {
        let name = guest.name;
        let component = built_component(&guest.component)?;
        let interface = ComponentInterface::read(&component).map_err(anyhow::Error::msg)?;
        let inspection = fixture
            .upload(component)
            .await
            .with_context(|| name.clone())?;
        assert_eq!(inspection.description.name.name(), name);
        let plugin = fixture.sandbox.plugin(inspection.digest).await?;
        let memory = Some(interface.initial_memory);
        check_goldens(&fixture, &plugin, &guest.goldens, memory)?;
    }
    Ok(())
}

/// Runs the goldens of a folder; returns their number. With `memory`, which is that of a new instance in bytes, no call may
/// need more.
pub(crate) fn check_goldens(
    fixture: &SandboxFixture,
    plugin: &Plugin,
    folder: &Path,
    memory: Option<u64>,
) -> Result<usize> {
    let goldens = golden_files(folder)?;
    for path in &goldens {
        check(fixture, plugin, path, memory).with_context(|| path.display().to_string())?;
    }
    Ok(goldens.len())
}

fn check(
    fixture: &SandboxFixture,
    plugin: &Plugin,
    path: &Path,
    memory: Option<u64>,
) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let golden = Golden::parse(&text)?;
    let [first, second] = [golden.run(plugin), golden.run(plugin)];
    let output = first.outcome?;
    ensure!(output.is_as_expected(), "{}", output.differences.join("\n"));
    ensure!(
        output.golden == text,
        "the SDK writes it as\n{}",
        output.golden
    );
    ensure!(output == second.outcome?, "the second output differs");
    ensure!(
        first.fuel == second.fuel,
        "{} fuel, then {}",
        first.fuel,
        second.fuel
    );
    ensure!(first.peak_memory == second.peak_memory);
    // Growing a memory takes a process-wide lock, so concurrent calls would wait for each other.
    if let Some(initial) = memory {
        ensure!(
            first.peak_memory == initial,
            "it grew its memory from {initial} to {} bytes",
            first.peak_memory
        );
    }
    let Some(input) = golden.record() else {
        return Ok(());
    };
    let [replay, again] = [plugin.replay(&input), plugin.replay(&input)];
    ensure!(replay.fuel == first.fuel, "the replay has other fuel");
    ensure!(replay.record == again.record, "the second record differs");
    ensure!(replay.record.input[..] == input[..]);
    ensure!(
        replay.record.input_digest
            == Some(Digest::of(fixture.sandbox.record_json(&input)?.as_bytes()))
    );
    Ok(())
}

/// A question that is exported from a journal is a golden.
#[tokio::test]
async fn a_recorded_question_is_a_golden() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.upload(built_component("canary")?).await?.digest;
    let plugin = fixture.sandbox.plugin(digest).await?;
    let config = r#"{"canary_percentage": 10}"#;
    let sandbox = &fixture.sandbox;
    let planned = sandbox.plan(TENANT, digest, plan_input(config)).await;
    let decided = sandbox.decide(TENANT, digest, observation(config)).await;
    for record in [planned.record, decided.record] {
        let output = Some(&record.output[..]);
        let golden = sandbox.golden(&record.input, output)?;
        let output = Golden::parse(&golden)?.run(&plugin).outcome?;
        ensure!(output.is_as_expected(), "{}", output.differences.join("\n"));
        let question = sandbox.golden(&record.input, None)?;
        let question: Value = serde_json::from_str(&question)?;
        let fields: Vec<_> = question.as_object().context("an object")?.keys().collect();
        assert_eq!(fields, ["call", "input"]);
    }
    assert!(sandbox.golden(b"noise", None).is_err());
    Ok(())
}

/// The record of a call is enough to replay it, in another process and with compiled code only.
#[tokio::test]
async fn a_replay_is_the_same_bit_for_bit() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.upload(built_component("canary")?).await?.digest;
    let config = r#"{"canary_percentage": 10}"#;
    let call = fixture
        .sandbox
        .decide(TENANT, digest, observation(config))
        .await;
    let after = fixture.reopen_without_components()?;
    let replayed = after
        .sandbox
        .replay(TENANT, digest, &call.record.input, None)
        .await;
    assert_eq!(replayed.record, call.record);
    assert_eq!(replayed.fuel, call.fuel);
    assert_eq!(replayed.outcome, call.outcome.map(drop));
    Ok(())
}

#[tokio::test]
async fn an_invalid_input_is_refused() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.upload(built_component("canary")?).await?.digest;
    let plugin = fixture.sandbox.plugin(digest).await?;
    let of_another_world = Golden::trial(&plugin, CallName::Check, "{}").record();
    let of_another_world = of_another_world.context("`check` is recorded")?;
    for (bytes, class) in [
        (of_another_world.as_slice(), "link"),
        (b"noise", "invalid-record"),
        (b"", "invalid-record"),
    ] {
        let call = fixture.sandbox.replay(TENANT, digest, bytes, None).await;
        assert_eq!(call.outcome.map_err(|failure| failure.as_str()), Err(class));
    }
    Ok(())
}
