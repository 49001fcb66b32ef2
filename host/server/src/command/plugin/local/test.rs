use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_engine::chain;
use tidegate_sandbox::{Golden, GoldenRun, Plugin, golden_files};

use super::{component::ComponentArgs, usage};
use crate::command::show_value;

#[derive(Debug, Args)]
pub(in crate::command::plugin) struct Test {
    #[command(flatten)]
    component: ComponentArgs,
    /// Folder of the goldens, `*.json`
    #[arg(default_value = "golden")]
    dir: PathBuf,
    /// Write the output into `expect` where that is missing or differs; review the changes before you commit them
    #[arg(long)]
    bless: bool,
}

impl Test {
    pub(super) async fn run(self) -> Result<()> {
        let dir = self.dir.display();
        let files = golden_files(&self.dir).with_context(|| format!("read {dir}"))?;
        if files.is_empty() {
            bail!(
                "there is no golden (`*.json`) in {dir}: begin with one that `tidegate plugin run FILE --sample CALL` prints"
            );
        }
        let component = self.component.open()?;
        let plugin = component.load().await?;
        let tests: Vec<_> = files
            .iter()
            .map(|file| GoldenTest::run(file, &plugin, self.bless))
            .collect();
        show_value(self.component.output.json, &report(&tests), lines);
        match count(&tests, "failed") {
            0 => Ok(()),
            1 => bail!("1 golden failed"),
            failed => bail!("{failed} goldens failed"),
        }
    }
}

/// A golden that was run.
struct GoldenTest<'a> {
    file: &'a Path,
    /// `passed`, `blessed` or `failed`.
    result: &'static str,
    /// Why it failed.
    reasons: Vec<String>,
    /// The call; `None`: the file is no golden.
    run: Option<GoldenRun>,
}

impl<'a> GoldenTest<'a> {
    fn run(file: &'a Path, plugin: &Plugin, bless: bool) -> Self {
        let failed = |reasons, run| Self {
            file,
            result: "failed",
            reasons,
            run,
        };
        let golden = match read(file) {
            Ok(golden) => golden,
            Err(error) => return failed(vec![format!("{error:#}")], None),
        };
        let run = golden.run(plugin);
        let output = match &run.outcome {
            Ok(output) if output.is_as_expected() => {
                return Self {
                    file,
                    result: "passed",
                    reasons: Vec::new(),
                    run: Some(run),
                };
            }
            Ok(output) => output,
            Err(failure) => {
                let log = run.log.iter().map(|line| format!("log: {line}"));
                let reasons = log.chain([failure.to_string()]).collect();
                return failed(reasons, Some(run));
            }
        };
        if bless {
            return match fs::write(file, &output.golden) {
                Ok(()) => Self {
                    file,
                    result: "blessed",
                    reasons: Vec::new(),
                    run: Some(run),
                },
                Err(error) => failed(
                    vec![format!("cannot be written: {}", chain(&error))],
                    Some(run),
                ),
            };
        }
        let reasons = if output.is_expected_known {
            output.differences.clone()
        } else {
            vec!["it has no `expect`: --bless writes the output there".to_owned()]
        };
        failed(reasons, Some(run))
    }
}

fn read(file: &Path) -> Result<Golden> {
    let text = fs::read_to_string(file).context("cannot be read")?;
    Ok(Golden::parse(&text)?)
}

fn count(tests: &[GoldenTest<'_>], result: &str) -> usize {
    tests.iter().filter(|test| test.result == result).count()
}

fn report(tests: &[GoldenTest<'_>]) -> Value {
    let goldens = tests.iter().map(|test| {
        json!({
            "file": test.file.display().to_string(),
            "result": test.result,
            "reasons": test.reasons,
            "usage": test.run.as_ref().map(usage::of_call),
        })
    });
    json!({
        "passed": count(tests, "passed"),
        "blessed": count(tests, "blessed"),
        "failed": count(tests, "failed"),
        "goldens": goldens.collect::<Vec<_>>(),
    })
}

/// What did not pass, and the counts.
fn lines(report: &Value) -> String {
    let mut lines = Vec::new();
    let goldens = report["goldens"].as_array().into_iter().flatten();
    for golden in goldens.filter(|golden| golden["result"] != "passed") {
        let [result, file] =
            ["result", "file"].map(|name| golden[name].as_str().unwrap_or_default());
        lines.push(format!("{result}: {file}"));
        let reasons = golden["reasons"].as_array().into_iter().flatten();
        let reasons = reasons.filter_map(Value::as_str);
        lines.extend(reasons.map(|reason| format!("  {reason}")));
    }
    lines.push(format!(
        "{} passed, {} blessed, {} failed",
        report["passed"], report["blessed"], report["failed"]
    ));
    lines.join("\n")
}
