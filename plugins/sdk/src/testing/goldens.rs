//! Goldens: inputs with the expected outputs of a plugin, native and as a component.
//!
//! Each file `*.json` of a folder holds one case `{"call", "input", "expect"}`: the name of the call, its input and its
//! output in the serde form of the contract's types (fields in snake case, cases in upper camel case, results as `Ok`
//! and `Err`). With `BLESS=1` outputs are written instead of compared; review the changes before committing them.

use std::{
    any::Any,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

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

/// A case with its actual output, or why there is none.
type GoldenResult = Result<GoldenOutput, String>;

struct GoldenOutput {
    /// The case with this output.
    text: String,
    as_expected: bool,
}

fn run_call<Q, A>(text: &str, plugin: impl Fn(&Q) -> A) -> GoldenResult
where
    Q: Serialize + DeserializeOwned,
    A: Serialize + DeserializeOwned + PartialEq,
{
    let mut case: GoldenCase<Q, A> = serde_json::from_str(text)
        .map_err(|error| format!("is no case of the contract's types: {error}"))?;
    let answer = panic::catch_unwind(AssertUnwindSafe(|| plugin(&case.input)));
    let answer = Some(answer.map_err(|panic| format!("panics: {}", panic_text(&*panic)))?);
    let as_expected = answer == case.expect;
    case.expect = answer;
    let mut text = serde_json::to_string_pretty(&case).expect("types with a JSON form");
    text.push('\n');
    Ok(GoldenOutput { text, as_expected })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}

fn run(folder: &str, run_call: impl Fn(&str, &str) -> Option<GoldenResult>) {
    let bless = std::env::var_os("BLESS").is_some();
    let failures = failures(Path::new(folder), bless, run_call);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with each golden that fails, after its file. With `bless` outputs are written instead of compared.
fn failures(
    folder: &Path,
    bless: bool,
    run_call: impl Fn(&str, &str) -> Option<GoldenResult>,
) -> Vec<String> {
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
    let failures = files.iter().filter_map(|file| {
        let failure = run_file(file, bless, &run_call).err()?;
        Some(format!("{} {failure}", file.display()))
    });
    failures.collect()
}

fn run_file(
    file: &Path,
    bless: bool,
    run_call: impl Fn(&str, &str) -> Option<GoldenResult>,
) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let CallName { call } =
        serde_json::from_str(&text).map_err(|error| format!("is no golden: {error}"))?;
    let output =
        run_call(&call, &text).ok_or_else(|| format!("has the unknown call `{call}`"))??;
    if bless {
        return fs::write(file, output.text).map_err(|error| format!("cannot be written: {error}"));
    }
    if output.as_expected {
        Ok(())
    } else {
        Err(format!("has another output:\n{}", output.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_golden_that_fails_names_its_file() {
        let folder = std::env::temp_dir().join(format!("goldens-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let goldens = [
            ("1-cut.json", "{"),
            ("2-no-call.json", r#"{"input": 1}"#),
            ("3-unknown.json", r#"{"call": "triple", "input": 1}"#),
            ("4-types.json", r#"{"call": "double", "input": "one"}"#),
            ("5-panics.json", r#"{"call": "double", "input": 13}"#),
            (
                "6-differs.json",
                r#"{"call": "double", "input": 2, "expect": 5}"#,
            ),
            (
                "7-passes.json",
                r#"{"call": "double", "input": 2, "expect": 4}"#,
            ),
        ];
        for (name, text) in goldens {
            fs::write(folder.join(name), text).expect("a file");
        }
        let double = |n: &u32| {
            assert!(*n != 13, "{n} is unlucky");
            n * 2
        };
        let failures = failures(&folder, false, |call, text| {
            (call == "double").then(|| run_call(text, double))
        });
        fs::remove_dir_all(&folder).expect("a folder");
        let words = [
            "is no golden: EOF",
            "is no golden: missing field `call`",
            "has the unknown call `triple`",
            "is no case of the contract's types: invalid type",
            "panics: 13 is unlucky",
            "has another output:\n{",
        ];
        assert_eq!(failures.len(), words.len(), "{failures:?}");
        for ((failure, words), (name, _)) in failures.iter().zip(words).zip(goldens) {
            let expected = format!("{} {words}", folder.join(name).display());
            assert!(failure.starts_with(&expected), "{failure}");
        }
    }
}
