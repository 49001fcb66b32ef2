//! The components that `cargo xtask components` makes: they are taken in, and each answers its goldens through Wasm,
//! twice the same.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tidegate_core::id::Digest;
use tidegate_engine::ports::Sandbox as _;
use tidegate_sandbox::{Plugin, question};

use crate::support::{Rig, built};

/// A golden: `expect` is the answer in the serde form of the contract's types, results as `Ok` and `Err`.
#[derive(Deserialize)]
struct Golden {
    call: String,
    input: Box<RawValue>,
    expect: Value,
}

/// The folders of plugins and policies that have goldens, by the name of their component.
fn guests() -> Result<Vec<(String, PathBuf)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut guests = Vec::new();
    for family in ["plugins", "policies"] {
        for entry in fs::read_dir(root.join(family))? {
            let entry = entry?;
            let goldens = entry.path().join("golden");
            if goldens.is_dir() {
                guests.push((entry.file_name().to_string_lossy().into_owned(), goldens));
            }
        }
    }
    guests.sort();
    Ok(guests)
}

#[tokio::test]
async fn goldens_through_wasm() -> Result<()> {
    let rig = Rig::new()?;
    for (name, folder) in guests()? {
        let component = built(&name)?;
        let initial_memory = initial_memory(&component)?;
        let inspection = rig.upload(component).await.with_context(|| name.clone())?;
        assert_eq!(inspection.description.name, name);
        let plugin = rig.sandbox.plugin(inspection.digest).await?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let golden = serde_json::from_str(&fs::read_to_string(&path)?)?;
                check(&rig, &plugin, &golden, initial_memory)
                    .with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

/// The bytes of memory that a component's instance begins with.
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

fn check(rig: &Rig, plugin: &Plugin, golden: &Golden, initial_memory: u64) -> Result<()> {
    if golden.call == "validate" {
        let config: String = serde_json::from_str(golden.input.get())?;
        let errors: Vec<Value> = plugin
            .validate_itself(&config)
            .outcome?
            .into_iter()
            .map(|error| json!({"path": error.path, "message": error.message}))
            .collect();
        ensure!(json!(errors) == golden.expect, "it answered {errors:?}");
        return Ok(());
    }
    let question = question(&golden.call, golden.input.get())?;
    let first = plugin.replay(&question);
    let second = plugin.replay(&question);
    let readable = rig.sandbox.readable(&first.record.answer)?;
    let answered: Value = serde_json::from_str(&readable)?;
    ensure!(
        answered["answer"] == golden.expect,
        "it answered {readable}"
    );
    ensure!(
        first.record == second.record,
        "another record the second time"
    );
    ensure!(
        first.fuel == second.fuel,
        "{} fuel, then {}",
        first.fuel,
        second.fuel
    );
    ensure!(first.peak_memory == second.peak_memory);
    // Growing takes a lock on the whole process, so that calls at the same time wait for each other.
    ensure!(
        first.peak_memory == initial_memory,
        "it grew its memory from {initial_memory} to {} bytes",
        first.peak_memory
    );
    ensure!(first.record.question == question);
    ensure!(
        first.record.question_digest
            == Some(Digest::of(rig.sandbox.readable(&question)?.as_bytes()))
    );
    Ok(())
}

/// What is recorded of a call is enough to ask it again, in another process and from compiled code alone.
#[tokio::test]
async fn a_replay_is_the_same_bit_for_bit() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.upload(built("canary")?).await?.digest;
    let config = r#"{"canary_percentage": 10}"#;
    let call = rig
        .sandbox
        .decide(digest, crate::support::observation(config))
        .await;
    let after = rig.again_without_components()?;
    let replayed = after.sandbox.replay(digest, &call.record.question).await;
    assert_eq!(replayed.record, call.record);
    assert_eq!(replayed.fuel, call.fuel);
    assert_eq!(replayed.outcome, call.outcome.map(drop));
    Ok(())
}

#[tokio::test]
async fn what_is_no_question_is_said_so() -> Result<()> {
    let rig = Rig::new()?;
    let digest = rig.upload(built("canary")?).await?.digest;
    assert!(question("guess", "{}").is_err());
    assert!(question("decide", "{}").is_err());
    let of_another_world = question("check", &json!({
        "context": {"now": 0, "seed": 0, "failure_ceiling": 0, "update_timeout": 0, "auto_rollback": false, "facts": []},
        "firmware": {"name": "", "version": "", "beta": false, "security_update": false, "tags": [], "metadata": []},
        "classes": [], "config": "{}"
    }).to_string())?;
    for (bytes, class) in [
        (of_another_world.as_slice(), "link"),
        (b"noise", "host"),
        (b"", "host"),
    ] {
        let call = rig.sandbox.replay(digest, bytes).await;
        assert_eq!(call.outcome.map_err(|failure| failure.class()), Err(class));
    }
    Ok(())
}
