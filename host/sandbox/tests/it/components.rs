//! The components that `cargo xtask components` builds: each is accepted, and reproduces its goldens through Wasm,
//! deterministically. Those of `tests/trials` are in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::Sandbox as _;
use tidegate_sandbox::{Plugin, encode_input};

use crate::support::{SandboxFixture, TENANT, built_component, observation, plan_input};

/// A golden. `expect` is the output in the serde form of the contract's types, with results as `Ok` and `Err`.
#[derive(Deserialize)]
struct Golden {
    call: String,
    input: Box<RawValue>,
    expect: Value,
}

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
        let initial_memory = initial_memory(&component)?;
        let inspection = fixture
            .upload(component)
            .await
            .with_context(|| name.clone())?;
        assert_eq!(inspection.description.name.name(), name);
        let plugin = fixture.sandbox.plugin(inspection.digest).await?;
        for entry in fs::read_dir(guest.goldens)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let golden = serde_json::from_str(&fs::read_to_string(&path)?)?;
                check(&fixture, &plugin, &golden, initial_memory)
                    .with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

/// The initial memory of a component's instance, in bytes.
fn initial_memory(component: &[u8]) -> Result<u64> {
    let mut pages = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        if let wasmparser::Payload::MemorySection(memories) = payload? {
            for memory in memories {
                pages += memory?.initial;
            }
        }
    }
    Ok(pages * (64 << 10))
}

fn check(
    fixture: &SandboxFixture,
    plugin: &Plugin,
    golden: &Golden,
    initial_memory: u64,
) -> Result<()> {
    if golden.call == "validate" {
        let config: String = serde_json::from_str(golden.input.get())?;
        let errors: Vec<Value> = plugin
            .validate(&config)
            .outcome?
            .into_iter()
            .map(|error| json!({"path": error.path, "message": error.message}))
            .collect();
        ensure!(json!(errors) == golden.expect, "the output is {errors:?}");
        return Ok(());
    }
    if golden.call == "wants" {
        let config: String = serde_json::from_str(golden.input.get())?;
        let wants = plugin.wants(&config)?;
        let expected = &golden.expect["Ok"];
        for (kind, names) in [
            ("attributes", wants.attributes),
            ("metrics", wants.metrics),
            ("facts", wants.facts),
        ] {
            ensure!(
                json!(names) == expected[kind],
                "it wants the {kind} {names:?}"
            );
        }
        return Ok(());
    }
    let input = encode_input(&golden.call, golden.input.get())?;
    let first = plugin.replay(&input);
    let second = plugin.replay(&input);
    let record_json = fixture.sandbox.record_json(&first.record.output)?;
    let answered: Value = serde_json::from_str(&record_json)?;
    ensure!(
        answered["answer"] == golden.expect,
        "the output is {record_json}"
    );
    ensure!(first.record == second.record, "the second record differs");
    ensure!(
        first.fuel == second.fuel,
        "{} fuel, then {}",
        first.fuel,
        second.fuel
    );
    ensure!(first.peak_memory == second.peak_memory);
    // Growing a memory takes a process-wide lock, so concurrent calls would wait for each other.
    ensure!(
        first.peak_memory == initial_memory,
        "it grew its memory from {initial_memory} to {} bytes",
        first.peak_memory
    );
    ensure!(first.record.input == input);
    ensure!(
        first.record.input_digest
            == Some(Digest::of(fixture.sandbox.record_json(&input)?.as_bytes()))
    );
    Ok(())
}

/// A question that is exported from a journal is a golden.
#[tokio::test]
async fn a_recorded_question_is_a_golden() -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let component = built_component("canary")?;
    let initial_memory = initial_memory(&component)?;
    let digest = fixture.upload(component).await?.digest;
    let plugin = fixture.sandbox.plugin(digest).await?;
    let config = r#"{"canary_percentage": 10}"#;
    let sandbox = &fixture.sandbox;
    let planned = sandbox.plan(TENANT, digest, plan_input(config)).await;
    let decided = sandbox.decide(TENANT, digest, observation(config)).await;
    for record in [planned.record, decided.record] {
        let output = Some(&record.output[..]);
        let golden = sandbox.golden(&record.input, output)?;
        check(
            &fixture,
            &plugin,
            &serde_json::from_str(&golden)?,
            initial_memory,
        )?;
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
    assert!(encode_input("guess", "{}").is_err());
    assert!(encode_input("decide", "{}").is_err());
    let of_another_world = encode_input("check", &json!({
        "context": {"now": 0, "seed": 0, "failure_ceiling": 0, "update_timeout": 0, "auto_rollback": false, "facts": []},
        "firmware": {"name": "", "version": "", "beta": false, "security_update": false, "tags": [], "metadata": [],
            "size": 0, "modules": []},
        "page": {"number": 0, "total": 1}, "classes": [], "config": "{}"
    }).to_string())?;
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
