//! A fuzz target: its inputs, and a run of it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::FuzzOptions;
use crate::shell;
use crate::workspace::Workspace;

/// Maximum seconds for one input, built without full optimisation and next to other work.
const MAX_INPUT_SECONDS: u32 = 5;
/// Maximum memory of the process. The test program itself needs about 30 MiB.
const MAX_MEMORY_MIB: u32 = 512;

/// A fuzz target in a test program.
#[derive(Debug)]
pub(super) struct Target {
    /// The name of its directory below `__fuzz__`.
    pub(super) name: String,
    program: PathBuf,
    /// The path of the test.
    test: String,
    /// The stored inputs, relative to the root.
    corpus: PathBuf,
}

/// Statistics of a run.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct FuzzStats {
    runs: u64,
    inputs: u64,
}

/// All targets of the test programs. Fails if there is none, or if one has no stored inputs: a
/// corpus that was moved away from its test would otherwise go unnoticed.
pub(super) fn find(workspace: &Workspace, programs: &[PathBuf]) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for program in programs {
        let listing = shell::output(
            Command::new(program)
                .current_dir(&workspace.root)
                .args(["fuzz_", "--nocapture", "--test-threads", "1"])
                .env("CARGO_BOLERO_SELECT", "all"),
        )?;
        for line in listing.lines() {
            targets.extend(Target::from_listing(line, program, &workspace.root));
        }
    }
    if targets.is_empty() {
        bail!(
            "no fuzz target was found: targets are tests named fuzz_... that call bolero::check!"
        );
    }
    for target in &targets {
        let kept = fs::read_dir(workspace.root.join(&target.corpus));
        if kept.map_or(0, Iterator::count) == 0 {
            bail!(
                "{} has no inputs in {}",
                target.test,
                target.corpus.display()
            );
        }
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

impl Target {
    /// Parses a line in which bolero lists a target.
    fn from_listing(line: &str, program: &Path, root: &Path) -> Option<Self> {
        let output: Value = serde_json::from_str(line).ok()?;
        output.get("__bolero_target")?;
        let folder = Path::new(output["work_dir"].as_str()?);
        Some(Self {
            name: folder.file_name()?.to_str()?.to_owned(),
            program: program.to_owned(),
            test: output["test_name"].as_str()?.to_owned(),
            corpus: folder.strip_prefix(root).ok()?.join("corpus"),
        })
    }

    /// Continues from the stored inputs. Found inputs go into `artifacts`, including the input that
    /// makes the target fail.
    pub(super) fn explore(
        &self,
        root: &Path,
        artifacts: &Path,
        options: FuzzOptions,
    ) -> Result<FuzzStats> {
        let found = artifacts.join("found");
        fs::create_dir_all(root.join(&found)).context("create the directory for found inputs")?;
        let output = self.libfuzzer(
            root,
            &[
                found.display().to_string(),
                self.corpus.display().to_string(),
                format!("-artifact_prefix={}/", artifacts.display()),
                format!("-seed={}", options.seed),
                format!("-max_total_time={}", options.seconds),
                format!("-timeout={MAX_INPUT_SECONDS}"),
                format!("-rss_limit_mb={MAX_MEMORY_MIB}"),
                "-print_final_stats=1".to_owned(),
            ],
        )?;
        let log = artifacts.join("log");
        fs::write(root.join(&log), &output.text).context("write libFuzzer's log")?;
        if !output.succeeded {
            bail!(
                "{}\nthe input is in {}: copy it to {}, so that `cargo test` repeats it",
                failure_text(&output.text),
                artifacts.display(),
                self.corpus.display()
            );
        }
        FuzzStats::read(&output.text)
            .with_context(|| format!("{} has no statistics", log.display()))
    }

    /// Runs the target under libFuzzer with these arguments.
    fn libfuzzer(&self, root: &Path, arguments: &[String]) -> Result<LibfuzzerOutput> {
        let arguments = arguments.join(" ");
        let mut command = Command::new(&self.program);
        command
            .current_dir(root)
            .args([&self.test, "--exact", "--nocapture", "--quiet"])
            .args(["--test-threads", "1"])
            .env("BOLERO_TEST_NAME", &self.test)
            .env("BOLERO_LIBTEST_HARNESS", "1")
            .env("RUST_BACKTRACE", "0")
            .env("BOLERO_LIBFUZZER_ARGS", arguments);
        let output = command
            .output()
            .with_context(|| format!("start `{}`", shell::line(&command)))?;
        Ok(LibfuzzerOutput {
            succeeded: output.status.success(),
            text: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// The output after libFuzzer's last progress line: why it ended.
fn failure_text(text: &str) -> &str {
    let after_progress = text
        .rsplit_once("\n#")
        .and_then(|(_, last)| last.split_once('\n'));
    after_progress.map_or(text, |(_, rest)| rest).trim()
}

/// The result of a libFuzzer run.
struct LibfuzzerOutput {
    succeeded: bool,
    text: String,
}

impl FuzzStats {
    /// Reads the statistics at the end of libFuzzer's output.
    fn read(text: &str) -> Option<Self> {
        let figure = |name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix("stat::")?
                        .strip_prefix(name)?
                        .strip_prefix(':')
                })?
                .trim()
                .parse()
                .ok()
        };
        Some(Self {
            runs: figure("number_of_executed_units")?,
            inputs: figure("new_units_added")?,
        })
    }
}

impl fmt::Display for FuzzStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} inputs with new coverage",
            self.runs, self.inputs
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_among_what_tests_print() {
        let from_listing =
            |line| Target::from_listing(line, Path::new("program"), Path::new("/repository"));
        let line = r#"{"__bolero_target":"v0.5.0","exe":"x","work_dir":"/repository/host/a/src/__fuzz__/range","package_name":"a","is_harnessed":true,"test_name":"b::fuzz_range"}"#;
        let target = from_listing(line).expect("a target");
        assert_eq!(target.name, "range");
        assert_eq!(target.test, "b::fuzz_range");
        assert_eq!(target.corpus, Path::new("host/a/src/__fuzz__/range/corpus"));
        assert!(from_listing("test b::fuzz_range ... ok").is_none());
    }

    #[test]
    fn failures_are_shown_without_progress_lines() {
        assert_eq!(
            failure_text("INFO: a\n#2\tINITED\n#9\tNEW\nError: it is\nbad\n"),
            "Error: it is\nbad"
        );
        assert_eq!(failure_text("it did not start\n"), "it did not start");
    }

    #[test]
    fn figures_are_read_from_the_end_of_the_log() {
        let log = "#2\tINITED cov: 5\nstat::number_of_executed_units: 41203\nstat::new_units_added:          38\n";
        let found = FuzzStats {
            runs: 41203,
            inputs: 38,
        };
        assert_eq!(FuzzStats::read(log), Some(found));
        assert_eq!(FuzzStats::read("#2\tINITED cov: 5\n"), None);
    }
}
