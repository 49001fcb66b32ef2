//! Goldens: inputs with the expected outputs of a plugin, native and as a component.
//!
//! Each file `*.json` of a folder holds one case `{"call", "input", "expect"}`: the name of the call, its input and its
//! output in the serde form of the contract's types (fields in snake case, cases in upper camel case, results as `Ok`
//! and `Err`). With `BLESS=1` outputs are written instead of compared; review the changes before committing them.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Assignment, CompatibilityPolicy, HealthPolicy, Plugin, Strategy, plugin, policy, strategy,
};

/// Runs the goldens of a strategy in a folder, usually `concat!(env!("CARGO_MANIFEST_DIR"), "/golden")`. Panics if an
/// output differs.
pub fn strategy_goldens<S: Strategy>(folder: &str) {
    run(folder, |call, text| match call {
        "plan" => Some(run_call(text, strategy::plan::<S>)),
        "decide" => Some(run_call(text, strategy::decide::<S>)),
        _ => run_meta::<S>(call, text),
    });
}

/// Runs the goldens of a strategy that assigns devices to waves.
pub fn assignment_goldens<S: Assignment>(folder: &str) {
    run(folder, |call, text| match call {
        "plan" => Some(run_call(text, strategy::plan::<S>)),
        "assign" => Some(run_call(text, strategy::assign::<S>)),
        "decide" => Some(run_call(text, strategy::decide::<S>)),
        _ => run_meta::<S>(call, text),
    });
}

/// Runs the goldens of a compatibility policy.
pub fn compatibility_goldens<P: CompatibilityPolicy>(folder: &str) {
    run(folder, |call, text| match call {
        "check" => Some(run_call(text, policy::check::<P>)),
        _ => run_meta::<P>(call, text),
    });
}

/// Runs the goldens of a health policy.
pub fn health_goldens<P: HealthPolicy>(folder: &str) {
    run(folder, |call, text| match call {
        "evaluate" => Some(run_call(text, policy::evaluate::<P>)),
        _ => run_meta::<P>(call, text),
    });
}

/// The calls that every plugin has.
fn run_meta<P: Plugin>(call: &str, text: &str) -> Option<GoldenResult> {
    match call {
        "describe" => Some(run_call(text, |(): &()| plugin::describe::<P>())),
        "validate" => Some(run_call(text, |config: &String| {
            plugin::validate::<P>(config)
        })),
        "wants" => Some(run_call(text, |config: &String| plugin::wants::<P>(config))),
        _ => None,
    }
}

#[derive(Deserialize)]
struct CallName {
    call: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenCase<Q, A> {
    call: String,
    input: Q,
    /// Absent until the case is blessed.
    expect: Option<A>,
}

/// A case with its actual output.
struct GoldenResult {
    text: String,
    as_expected: bool,
}

fn run_call<Q, A>(text: &str, plugin: impl Fn(&Q) -> A) -> GoldenResult
where
    Q: Serialize + DeserializeOwned,
    A: Serialize + DeserializeOwned + PartialEq,
{
    let mut case: GoldenCase<Q, A> =
        serde_json::from_str(text).expect("a case of the contract's types");
    let answer = Some(plugin(&case.input));
    let as_expected = answer == case.expect;
    case.expect = answer;
    let mut text = serde_json::to_string_pretty(&case).expect("types with a JSON form");
    text.push('\n');
    GoldenResult { text, as_expected }
}

fn run(folder: &str, run_call: impl Fn(&str, &str) -> Option<GoldenResult>) {
    let folder = Path::new(folder);
    let bless = std::env::var_os("BLESS").is_some();
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder with goldens")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no golden in {}", folder.display());

    let mut differences = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable golden");
        let CallName { call } = serde_json::from_str(&text).expect("a golden with a call");
        let name = file.display();
        let result =
            run_call(&call, &text).unwrap_or_else(|| panic!("{name}: unknown call `{call}`"));
        if bless {
            fs::write(&file, result.text).expect("a writable golden");
        } else if !result.as_expected {
            differences.push(format!("{name} has another output:\n{}", result.text));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
