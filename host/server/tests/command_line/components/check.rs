//! `inspect`, `check` and `bench`.

use anyhow::Result;
use serde_json::{Value, json};
use tidegate_hostile::{Hooks, HostilePlugin, forbidden_import, strategy_with};

use super::{Workbench, built_component, stdout};
use crate::check;

#[test]
fn good_components_are_accepted() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("canary.wasm", built_component("canary")?)?;
    let output = workbench.run(&["check", "canary.wasm"])?;
    check(&output, 0, "");
    let text = stdout(&output);
    assert!(text.starts_with("tidegate/canary "), "{text}");
    assert!(
        text.contains(" is accepted: strategy, contract 1.0.0-draft.2, sha256:"),
        "{text}"
    );
    assert!(!text.contains("note"), "{text}");

    workbench.write("honest.wasm", HostilePlugin::Honest.component()?)?;
    let (code, accepted) = workbench.json(&["check", "honest.wasm"])?;
    assert_eq!(code, Some(0), "{accepted}");
    assert_eq!(accepted["accepted"], true);
    assert_eq!(accepted["plugin"], "acme/hostile");
    let unassigned = "`assign` was not tried, because the plan of the trial campaign has no wave with `custom` members";
    let refused = "`decide` gave an answer for the trial campaign that a server would refuse, and an upload allows: \
                   the outcome is complete although 5 devices are in flight";
    assert_eq!(accepted["notes"], json!([unassigned, refused]));

    // Its `assign` is called with the waves of its own plan.
    let assigning = built_component("trials/site-canaries")?;
    workbench.write("assigning.wasm", assigning)?;
    let (code, accepted) = workbench.json(&["check", "assigning.wasm"])?;
    assert_eq!(code, Some(0), "{accepted}");
    assert_eq!(accepted["notes"], json!([]));
    let (_, inspected) = workbench.json(&["inspect", "assigning.wasm"])?;
    let calls = inspected["calls"].as_array().into_iter().flatten();
    assert!(
        calls.clone().any(|call| call["call"] == "assign"),
        "{inspected}"
    );
    Ok(())
}

#[test]
fn rejected_components_have_the_reason_of_the_server() -> Result<()> {
    let workbench = Workbench::new()?;
    let canary = built_component("canary")?;
    // A custom section, which changes nothing but the digest.
    let other_canary = [canary.as_slice(), &[0, 3, 1, b'x', 0]].concat();
    for (component, reason) in [
        (
            forbidden_import()?,
            "error: it imports `wasi:clocks/monotonic-clock@0.2.3`; a plugin may only import",
        ),
        (
            HostilePlugin::EndlessLoop.component()?,
            "error: calling its `decide`: the plugin ran out of fuel (50000000 units)",
        ),
        (
            b"no wasm".to_vec(),
            "error: it is not a WebAssembly component",
        ),
        (
            other_canary,
            "error: the name tidegate/canary is reserved for a built-in plugin",
        ),
    ] {
        workbench.write("rejected.wasm", component)?;
        check(&workbench.run(&["check", "rejected.wasm"])?, 1, reason);
        // It is remembered.
        check(&workbench.run(&["check", "rejected.wasm"])?, 1, reason);
        let (code, rejected) = workbench.json(&["check", "rejected.wasm"])?;
        assert_eq!((code, &rejected["accepted"]), (Some(1), &false.into()));
        let named = format!("error: {}", rejected["reason"].as_str().unwrap_or_default());
        assert!(named.contains(reason), "{named}");
    }
    check(
        &workbench.run(&["check", "none.wasm"])?,
        1,
        "read none.wasm",
    );
    Ok(())
}

#[test]
fn the_limits_are_those_of_a_servers_configuration() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("honest.wasm", HostilePlugin::Honest.component()?)?;
    workbench.write("small.toml", "[sandbox]\ncomponent_bytes = 100")?;
    let limit =
        "and a component may have at most 100 (the server's setting `sandbox.component_bytes`)";
    let small = ["check", "honest.wasm", "--config", "small.toml"];
    check(&workbench.run(&small)?, 1, limit);
    let named = workbench
        .plugin(&["check", "honest.wasm"])
        .env("TIDEGATE_CONFIG", "small.toml")
        .output()?;
    check(&named, 1, limit);
    workbench.write("wrong.toml", "[sandbox]\nfool = 1")?;
    let wrong = ["check", "honest.wasm", "--config", "wrong.toml"];
    check(&workbench.run(&wrong)?, 1, "`sandbox.fool` in wrong.toml");
    Ok(())
}

#[test]
fn notes_name_what_is_no_error() -> Result<()> {
    let workbench = Workbench::new()?;
    let notes = |hooks: &Hooks| -> Result<String> {
        workbench.write("shown.wasm", strategy_with(hooks)?)?;
        let (code, accepted) = workbench.json(&["check", "shown.wasm"])?;
        assert_eq!(code, Some(0), "{accepted}");
        Ok(accepted["notes"].to_string())
    };
    let unknown = notes(&Hooks::default().schema(r#"{"type": "object", "required": ["x"]}"#))?;
    assert!(
        unknown.contains("`validate`, `wants`, `plan`, `assign`, `decide` were not tried, because its schema gives no valid example"),
        "{unknown}"
    );
    // The one wave of its plan is custom: case 5.
    let custom = "(i32.store (i32.const 808) (i32.const 5)) (i32.const 512)";
    let custom = Hooks::default().plan(custom);
    for (assign, note) in [
        (
            "unreachable",
            "`assign`, which an upload does not try, failed for the trial campaign: the plugin trapped",
        ),
        (
            "(i32.const 512)",
            "`assign` returned an error for the trial campaign, which an upload allows: wave",
        ),
    ] {
        let shown = notes(&custom.clone().assign(assign))?;
        assert!(shown.contains(note), "{shown}");
    }
    // Some 30 million units of fuel.
    let busy = "(loop $again
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 4000000))))
        (i32.const 640)";
    let busy = notes(&Hooks::default().decide(busy))?;
    assert!(
        busy.contains("`decide` used ") && busy.contains(" units of fuel"),
        "{busy}"
    );
    let growing = "(drop (memory.grow $memory (i32.const 600))) (i32.const 640)";
    let growing = notes(&Hooks::default().decide(growing))?;
    assert!(
        growing.contains("`decide` used 37.8 MiB of 64 MiB (59.0 %) of memory"),
        "{growing}"
    );
    assert!(
        growing.contains("`decide` grew its memory from 256 KiB to 37.8 MiB"),
        "{growing}"
    );
    Ok(())
}

#[test]
fn a_component_is_inspected() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("canary.wasm", built_component("canary")?)?;
    let output = workbench.run(&["inspect", "canary.wasm"])?;
    check(&output, 0, "");
    let text = stdout(&output);
    for part in [
        " plugin          tidegate/canary",
        " kind            strategy",
        " imports         tidegate:plugin/types@1.0.0, tidegate:plugin/log@1.0.0",
        " exports         tidegate:plugin/rollout@1.0.0, tidegate:plugin/meta@1.0.0",
        " KiB of 4 MiB (",
        " KiB of 64 KiB (",
        " of 50,000,000 (",
        "\"properties\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, inspected) = workbench.json(&["inspect", "canary.wasm"])?;
    assert_eq!(code, Some(0));
    assert_eq!(inspected["config_schema"]["type"], "object");
    let calls = inspected["calls"].as_array().into_iter().flatten();
    let calls: Vec<_> = calls
        .map(|call| call["call"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(calls, ["describe", "validate", "wants", "plan", "decide"]);

    let schema = workbench.run(&["inspect", "canary.wasm", "--schema"])?;
    check(&schema, 0, "");
    let schema: Value = serde_json::from_slice(&schema.stdout)?;
    assert_eq!(schema, inspected["config_schema"]);
    Ok(())
}

#[test]
fn a_rejected_component_is_inspected_as_far_as_it_can_be_read() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("clock.wasm", forbidden_import()?)?;
    let output = workbench.run(&["inspect", "clock.wasm"])?;
    check(
        &output,
        1,
        "error: it imports `wasi:clocks/monotonic-clock@0.2.3`",
    );
    let text = stdout(&output);
    assert!(
        text.contains(" imports         wasi:clocks/monotonic-clock@0.2.3"),
        "{text}"
    );
    assert!(text.contains(" rejected        it imports"), "{text}");
    Ok(())
}

#[test]
fn calls_are_measured() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("honest.wasm", HostilePlugin::Honest.component()?)?;
    let (code, measured) = workbench.json(&["bench", "honest.wasm", "--runs", "5"])?;
    assert_eq!((code, &measured["runs"]), (Some(0), &5.into()));
    let calls = measured["calls"].as_array().into_iter().flatten();
    let names: Vec<_> = calls
        .clone()
        .map(|call| call["call"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        names,
        ["describe", "validate", "wants", "plan", "assign", "decide"]
    );
    for call in calls {
        let [min, median, max] = ["min_us", "median_us", "max_us"].map(|name| call[name].as_u64());
        assert!(min.is_some() && min <= median && median <= max, "{call}");
        assert!(call["fuel"].as_u64() > Some(0), "{call}");
        assert_eq!(call["memory_limit"], 64 << 20);
    }

    // Goldens take the place of the trial campaign.
    let sample = workbench.run(&["run", "honest.wasm", "--sample", "decide"])?;
    workbench.write("golden/decide-a.json", &sample.stdout)?;
    let output = workbench.run(&["bench", "honest.wasm", "--runs", "1"])?;
    check(&output, 0, "");
    let text = stdout(&output);
    assert!(
        text.contains("decide-a") && !text.contains("trial"),
        "{text}"
    );
    let other = ["bench", "honest.wasm", "plan", "--runs", "1"];
    assert!(stdout(&workbench.run(&other)?).contains("trial"));
    let none = ["bench", "honest.wasm", "plan", "--goldens", "golden"];
    check(
        &workbench.run(&none)?,
        1,
        "there is no golden of these calls in golden",
    );

    workbench.write("panic.wasm", HostilePlugin::Panic.component()?)?;
    let failed = workbench.run(&["bench", "panic.wasm", "decide"])?;
    check(
        &failed,
        1,
        "error: decide (decide-a): the plugin trapped: means harm",
    );
    Ok(())
}
