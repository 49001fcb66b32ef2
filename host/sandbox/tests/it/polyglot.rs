//! Plugins in other languages than Rust. They need the languages' tools, so they are ignored by default; run them with
//! `cargo test -p tidegate-sandbox --test it -- --ignored polyglot`. JavaScript needs npm; C needs Debian's `clang-22
//! lld-22 wasi-libc libclang-rt-22-dev-wasm32` and `cargo install wit-bindgen-cli --no-default-features -F c`.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tidegate_core::{
    measurement::Durations,
    plugin::{DecisionOutcome, Members},
    wave::{Counts, WaveReport},
};
use tidegate_engine::ports::{CallFailure, Sandbox as _};
use wit_component::ComponentEncoder;

use crate::support::{SandboxFixture, TENANT, observation, plan_input};

#[tokio::test]
#[ignore = "needs npm and its registry"]
async fn a_strategy_in_javascript() -> Result<()> {
    let folder = TempDir::new()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(Command::new("npx")
        .args(["--yes", "componentize-qjs@0.4.5", "--sync", "--stub-wasi"])
        .args(["--world", "strategy", "--wit"])
        .arg(here.join("../../wit/since-1.0"))
        .arg("--js")
        .arg(here.join("tests/polyglot/strategy.js"))
        .args(["--output", "strategy.wasm"])
        .current_dir(folder.path()))?;
    check_all_at_once(std::fs::read(folder.path().join("strategy.wasm"))?).await
}

#[tokio::test]
#[ignore = "needs clang for WebAssembly, and wit-bindgen's generator for C"]
async fn a_strategy_in_c() -> Result<()> {
    let folder = TempDir::new()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(Command::new("wit-bindgen")
        .args(["c", "--world", "strategy"])
        .arg(here.join("../../wit/since-1.0"))
        .current_dir(folder.path()))?;
    run(Command::new("clang-22")
        .args([
            "--target=wasm32-wasip1",
            "--sysroot=/usr",
            "-isystem",
            "/usr/include/wasm32-wasi",
        ])
        .args([
            "-L/usr/lib/wasm32-wasi",
            "-Os",
            "-nostartfiles",
            "-Wl,--no-entry",
            "-I.",
        ])
        .args([
            "strategy.c",
            "strategy_component_type.o",
            "-o",
            "module.wasm",
        ])
        .arg(here.join("tests/polyglot/strategy.c"))
        .current_dir(folder.path()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&std::fs::read(folder.path().join("module.wasm"))?)?
        .encode()?;
    check_all_at_once(component).await
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Runs the same calls for every language.
async fn check_all_at_once(component: Vec<u8>) -> Result<()> {
    let fixture = SandboxFixture::new()?;
    let digest = fixture.upload(component).await?.digest;

    let errors = fixture
        .sandbox
        .validate(TENANT, digest, r#"{"wave": ""}"#)
        .await
        .outcome?;
    assert_eq!(errors[0].path, "/wave");
    let errors = fixture
        .sandbox
        .validate(TENANT, digest, r#"{"other": 1}"#)
        .await
        .outcome?;
    assert_eq!(errors.len(), 1, "the schema refuses it: {errors:?}");

    let plan = fixture
        .sandbox
        .plan(TENANT, digest, plan_input(r#"{"wave": "ebb"}"#))
        .await;
    let plan = plan.outcome?;
    assert_eq!(
        (plan.waves[0].name.as_str(), &plan.waves[0].members),
        ("ebb", &Members::Rest)
    );

    let mut observed = observation("{}");
    observed.waves.push(WaveReport {
        name: "ebb".to_owned(),
        size: 1 << 40,
        released: 0,
        counts: Counts {
            pending: 1 << 40,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: Durations::default(),
    });
    let first = fixture
        .sandbox
        .decide(TENANT, digest, observed.clone())
        .await;
    let second = fixture.sandbox.decide(TENANT, digest, observed).await;
    assert_eq!((first.fuel, &first.record), (second.fuel, &second.record));
    assert_eq!(first.log, ["1 waves"]);
    let decision = first.outcome?;
    assert_eq!(decision.outcome, DecisionOutcome::Proceed);
    assert_eq!(decision.releases[0].devices, 1 << 40);
    assert_eq!(decision.explain, ["every device at once"]);

    let broken = fixture
        .sandbox
        .plan(TENANT, digest, plan_input("no JSON"))
        .await;
    let failure = broken.outcome.expect_err("the config is invalid");
    assert!(
        matches!(failure, CallFailure::PluginError(_) | CallFailure::Trap(_)),
        "{failure}"
    );
    Ok(())
}
