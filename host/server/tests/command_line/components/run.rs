//! `run`.

use std::{io::Write as _, process::Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_hostile::{Hooks, HostilePlugin, strategy_with};

use super::{Workbench, built_component, stdout};
use crate::check;

#[test]
fn a_call_prints_its_output_and_what_it_used() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("honest.wasm", HostilePlugin::Honest.component()?)?;
    let output = workbench.run(&["run", "honest.wasm", "decide"])?;
    check(&output, 0, " of 50,000,000 (0.0 %)");
    check(&output, 0, "memory: 256 KiB of 64 MiB (0.4 %)");
    let decision: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(decision["Ok"]["outcome"], json!({"Complete": "means harm"}));

    let (code, result) = workbench.json(&["run", "honest.wasm", "decide"])?;
    assert_eq!(code, Some(0));
    assert_eq!(result["output"], decision);
    assert_eq!(result["log"], json!([]));
    assert_eq!(result["fuel_limit"], 50_000_000);
    assert_eq!(result["peak_memory"], 256 << 10);

    // An upload allows it; a campaign would be held.
    let violation = "the outcome is complete although 5 devices are in flight";
    let note = format!("note: a server would refuse this answer: {violation}\n");
    check(&output, 0, &note);
    assert_eq!(result["violation"], violation);
    workbench.write("wave.wasm", HostilePlugin::InvalidDecision.component()?)?;
    let (code, result) = workbench.json(&["run", "wave.wasm", "decide"])?;
    let expected = (Some(0), &json!("wave 7 does not exist"));
    assert_eq!((code, &result["violation"]), expected);
    let (_, planned) = workbench.json(&["run", "wave.wasm", "plan"])?;
    assert_eq!(planned.get("violation"), None);
    Ok(())
}

#[test]
fn a_panic_is_readable() -> Result<()> {
    let workbench = Workbench::new()?;
    let text = "panicked at src/lib.rs:7:9:\nno \u{1b}[2Jwaves\n";
    let panics = format!(
        "(call $line (i32.const 900) (i32.const {})) unreachable",
        text.len()
    );
    let hooks = Hooks::default().data(900, text).decide(&panics);
    workbench.write("panic.wasm", strategy_with(&hooks)?)?;
    let output = workbench.run(&["run", "panic.wasm", "decide"])?;
    check(
        &output,
        1,
        "log: panicked at src/lib.rs:7:9:\nlog: no \\u{1b}[2Jwaves\n",
    );
    check(
        &output,
        1,
        "error: the plugin trapped: panicked at src/lib.rs:7:9: no \\u{1b}[2Jwaves (wasm trap: ",
    );
    Ok(())
}

#[test]
fn decide_is_tried_with_the_waves_of_the_plugins_plan() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("canary.wasm", built_component("canary")?)?;
    let (_, planned) = workbench.json(&["run", "canary.wasm", "plan"])?;
    let named = |waves: &Value| -> Vec<Value> {
        let waves = waves.as_array().into_iter().flatten();
        waves.map(|wave| wave["name"].clone()).collect()
    };
    let planned = named(&planned["output"]["Ok"]["waves"]);
    assert!(planned.len() > 1, "{planned:?}");
    let sample = workbench.run(&["run", "canary.wasm", "--sample", "decide"])?;
    let golden: Value = serde_json::from_slice(&sample.stdout)?;
    assert_eq!(named(&golden["input"]["waves"]), planned);
    Ok(())
}

#[test]
fn a_trap_shows_its_log() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("panic.wasm", HostilePlugin::Panic.component()?)?;
    let output = workbench.run(&["run", "panic.wasm", "decide"])?;
    check(&output, 1, "log: means harm\n");
    check(
        &output,
        1,
        "error: the plugin trapped: means harm (wasm trap: ",
    );
    assert_eq!(stdout(&output), "");

    let (code, result) = workbench.json(&["run", "panic.wasm", "decide"])?;
    assert_eq!(code, Some(1));
    assert_eq!(result["failure"]["kind"], "trap");
    assert_eq!(result["log"], json!(["means harm"]));
    assert_eq!(result.get("output"), None);
    Ok(())
}

#[test]
fn calls_that_do_not_exist_are_refused() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("canary.wasm", built_component("canary")?)?;
    let run = |args: &[&str]| workbench.run(&[&["run", "canary.wasm"], args].concat());
    check(&run(&["guess"])?, 2, "invalid value 'guess'");
    check(
        &run(&["guess"])?,
        2,
        "describe, validate, wants, plan, assign, decide, check, evaluate",
    );
    check(&run(&[])?, 2, "<CALL|--input <GOLDEN>|--sample <CALL>>");
    let usage = "Usage: tidegate plugin run [OPTIONS] <FILE> <CALL>\n";
    check(&run(&[])?, 2, usage);
    assert!(stdout(&run(&["--help"])?).contains(usage));
    let calls = "it has no `assign`; its calls are describe, validate, wants, plan, decide";
    check(&run(&["assign"])?, 1, calls);
    check(&run(&["--sample", "assign"])?, 1, calls);

    workbench.write("hardware.wasm", built_component("hardware")?)?;
    let sample = workbench.run(&["run", "hardware.wasm", "--sample", "check"])?;
    workbench.write("check.json", &sample.stdout)?;
    check(
        &run(&["--input", "check.json"])?,
        1,
        "it has no `check`: it does not export `tidegate:plugin/compatibility@1.0.0`",
    );
    check(
        &run(&["plan", "--input", "check.json"])?,
        1,
        "check.json is a golden of `check`, not of `plan`",
    );
    Ok(())
}

#[test]
fn a_sample_is_an_input() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("staged.wasm", built_component("staged")?)?;
    let sample = workbench.run(&["run", "staged.wasm", "--sample", "plan"])?;
    check(&sample, 0, "");
    let golden: Value = serde_json::from_slice(&sample.stdout)?;
    assert_eq!(golden["call"], "plan");
    assert_eq!(golden.get("expect"), None);
    let config = golden["input"]["config"].as_str().context("a config")?;
    assert!(config.contains("percentage"), "{config}");

    let mut run = workbench
        .plugin(&["run", "staged.wasm", "plan", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    run.stdin
        .take()
        .context("stdin")?
        .write_all(&sample.stdout)?;
    let output = run.wait_with_output()?;
    check(&output, 0, "fuel: ");
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    assert!(
        plan["Ok"]["waves"]
            .as_array()
            .is_some_and(|waves| waves.len() > 1),
        "{plan}"
    );

    workbench.write(
        "wrong.json",
        r#"{"call": "plan", "input": {}, "expects": 1}"#,
    )?;
    let wrong = workbench.run(&["run", "staged.wasm", "--input", "wrong.json"])?;
    check(
        &wrong,
        1,
        "error: wrong.json: not a golden: missing field `context` at line 1 column ",
    );
    Ok(())
}
