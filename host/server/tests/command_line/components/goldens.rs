//! `test`.

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::{Value, json};
use tidegate_core::visible_text::is_harmful;
use tidegate_hostile::HostilePlugin;

use super::{Workbench, built_component, stdout};
use crate::check;

/// A golden of the honest plugin's `decide`, with what it returns.
fn golden(workbench: &Workbench) -> Result<Value> {
    let sample = workbench.run(&["run", "honest.wasm", "--sample", "decide"])?;
    let mut golden: Value = serde_json::from_slice(&sample.stdout)?;
    let output = workbench.run(&["run", "honest.wasm", "decide"])?;
    golden["expect"] = serde_json::from_slice(&output.stdout)?;
    Ok(golden)
}

fn workbench() -> Result<Workbench> {
    let workbench = Workbench::new()?;
    workbench.write("honest.wasm", HostilePlugin::Honest.component()?)?;
    Ok(workbench)
}

#[test]
fn the_goldens_of_a_built_in_plugin_pass() -> Result<()> {
    let workbench = Workbench::new()?;
    workbench.write("canary.wasm", built_component("canary")?)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/canary/golden");
    let goldens = fs::read_dir(&folder)?.count();
    let output = workbench.run(&["test", "canary.wasm", &folder.to_string_lossy()])?;
    check(&output, 0, "");
    assert_eq!(
        stdout(&output),
        format!("{goldens} passed, 0 blessed, 0 failed\n")
    );
    Ok(())
}

#[test]
fn every_golden_that_fails_is_named_with_the_differences() -> Result<()> {
    let workbench = workbench()?;
    let mut golden = golden(&workbench)?;
    workbench.write("golden/good.json", golden.to_string())?;
    golden["expect"]["Ok"]["outcome"] = json!({"Hold": "wait"});
    workbench.write("golden/other.json", golden.to_string())?;
    golden["expect"] = Value::Null;
    workbench.write("golden/unblessed.json", golden.to_string())?;
    golden["expcet"] = json!([]);
    workbench.write("golden/unknown-key.json", format!("{golden:#}"))?;
    workbench.write("golden/noise.json", "{\n  \"call\": decide\n}")?;
    workbench.write("golden/guess.json", r#"{"call": "guess"}"#)?;
    workbench.write("golden/notes.md", "no golden")?;

    let output = workbench.run(&["test", "honest.wasm"])?;
    check(&output, 1, "error: 5 goldens failed");
    let text = stdout(&output);
    for part in [
        "failed: golden/other.json\n  /Ok/outcome: expected {\"Hold\":\"wait\"}, got {\"Complete\":\"means harm\"}\n",
        "failed: golden/unblessed.json\n  it has no `expect`: --bless writes the output there\n",
        "failed: golden/unknown-key.json\n  not a golden: unknown field `expcet`, expected one of `contract`, `call`, \
         `input`, `expect` at line ",
        "failed: golden/noise.json\n  not a golden: expected value at line 2 column 11\n",
        "failed: golden/guess.json\n  `call` is `guess`; the calls are describe, validate,",
        "1 passed, 0 blessed, 5 failed\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("good.json"), "{text}");

    let (code, report) = workbench.json(&["test", "honest.wasm"])?;
    assert_eq!(code, Some(1));
    assert_eq!([&report["passed"], &report["failed"]], [1, 5]);
    assert_eq!(report["goldens"][0]["file"], "golden/good.json");
    assert_eq!(report["goldens"][0]["result"], "passed");
    assert!(report["goldens"][0]["usage"]["fuel"].as_u64() > Some(0));
    Ok(())
}

#[test]
fn outputs_are_blessed() -> Result<()> {
    let workbench = workbench()?;
    let mut golden = golden(&workbench)?;
    let expected = golden["expect"].clone();
    let good = workbench.write("golden/good.json", golden.to_string())?;
    let good_text = fs::read_to_string(&good)?;
    golden["expect"] = json!({"Err": "never"});
    let other = workbench.write("golden/other.json", golden.to_string())?;
    if let Some(golden) = golden.as_object_mut() {
        golden.remove("expect");
    }
    let unblessed = workbench.write("golden/unblessed.json", golden.to_string())?;

    let output = workbench.run(&["test", "honest.wasm", "--bless"])?;
    check(&output, 0, "");
    assert_eq!(
        stdout(&output),
        "blessed: golden/other.json\nblessed: golden/unblessed.json\n1 passed, 2 blessed, 0 failed\n"
    );
    assert_eq!(fs::read_to_string(good)?, good_text, "it was as expected");
    for file in [other, unblessed] {
        let text = fs::read_to_string(file)?;
        assert!(
            text.starts_with("{\n  \"call\": \"decide\",\n  \"input\": {\n")
                && text.ends_with("}\n"),
            "{text}"
        );
        let blessed: Value = serde_json::from_str(&text)?;
        assert_eq!(blessed["expect"], expected);
    }
    let output = workbench.run(&["test", "honest.wasm"])?;
    assert_eq!(stdout(&output), "3 passed, 0 blessed, 0 failed\n");

    // A call without an output cannot be blessed.
    workbench.write("panic.wasm", HostilePlugin::Panic.component()?)?;
    let output = workbench.run(&["test", "panic.wasm", "golden", "--bless"])?;
    check(&output, 1, "error: 3 goldens failed");
    let text = stdout(&output);
    assert!(
        text.contains(
            "failed: golden/good.json\n  log: means harm\n  the plugin trapped: means harm"
        ),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_folder_without_goldens_is_an_error() -> Result<()> {
    let workbench = workbench()?;
    check(
        &workbench.run(&["test", "honest.wasm"])?,
        1,
        "error: read golden: ",
    );
    workbench.write("golden/notes.md", "no golden")?;
    check(
        &workbench.run(&["test", "honest.wasm"])?,
        1,
        "error: there is no golden (`*.json`) in golden: begin with",
    );
    Ok(())
}

#[test]
fn names_and_texts_do_not_act_on_a_terminal() -> Result<()> {
    const HARMFUL: &str = "x\u{1b}[2J\r\n2026 forged\u{9b}\u{202e}y";
    let workbench = workbench()?;
    let mut golden = golden(&workbench)?;
    golden["expect"]["Ok"]["explain"] = json!([HARMFUL]);
    workbench.write(&format!("golden/{HARMFUL}.json"), golden.to_string())?;
    golden["expect"] = json!({"Err": HARMFUL});
    golden[HARMFUL] = json!(1);
    workbench.write("golden/unknown-key.json", golden.to_string())?;
    for args in [
        &["test", "honest.wasm"][..],
        &["test", "honest.wasm", "--json"],
    ] {
        let output = workbench.run(args)?;
        check(&output, 1, "error: 2 goldens failed");
        let text = stdout(&output);
        assert!(text.contains("forged"), "{text}");
        assert!(!text.contains(|c| c != '\n' && is_harmful(c)), "{text:?}");
        assert!(!text.contains("\n2026 forged"), "{text}");
    }
    Ok(())
}
