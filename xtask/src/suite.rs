//! `cargo xtask test`: everything that continuous integration runs, as a list of named steps.

mod commits;
mod deny;
mod steps;
mod test_counts;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use steps::{STEPS, Step};
use test_counts::TestCounts;

/// What the steps share.
struct SuiteRun<'a> {
    workspace: &'a Workspace,
    /// Whether tests with third-party clients were requested.
    clients: bool,
    test_counts: Option<TestCounts>,
}

/// How a step ended.
enum StepOutcome {
    Passed,
    Failed,
    /// Not run, because the named step, which it needs, failed.
    Blocked(&'static str),
}

/// Runs the steps named in `only` (all if empty) except those in `skip`, in the order of the list.
/// A failed step blocks only the steps that need it. The error names the failed and blocked steps.
pub(crate) fn run(
    workspace: &Workspace,
    only: &[String],
    skip: &[String],
    clients: bool,
) -> Result<()> {
    check_names(only.iter().chain(skip))?;
    let mut run = SuiteRun {
        workspace,
        clients,
        test_counts: None,
    };
    let mut done: Vec<(&'static Step, StepOutcome, Duration)> = Vec::new();
    for step in STEPS {
        let is_wanted = only.is_empty() || only.iter().any(|name| name == step.name);
        if !is_wanted || skip.iter().any(|name| name == step.name) {
            continue;
        }
        let start = Instant::now();
        let outcome = match failed_dependency(step, &done) {
            Some(needed) => StepOutcome::Blocked(needed),
            None => run_step(step, &mut run),
        };
        done.push((step, outcome, start.elapsed()));
    }
    summarize(&done, run.test_counts)
}

/// The step names, for the command line's help.
pub(crate) fn names() -> String {
    STEPS
        .iter()
        .map(|step| step.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn check_names<'a>(names: impl Iterator<Item = &'a String>) -> Result<()> {
    for name in names {
        if STEPS.iter().all(|step| step.name != name) {
            bail!("unknown step `{name}`; the steps are {}", self::names());
        }
    }
    Ok(())
}

fn failed_dependency(
    step: &Step,
    done: &[(&'static Step, StepOutcome, Duration)],
) -> Option<&'static str> {
    let fails = |name: &str| {
        done.iter().any(|(other, outcome, _)| {
            other.name == name && !matches!(outcome, StepOutcome::Passed)
        })
    };
    step.needs.iter().copied().find(|name| fails(name))
}

fn run_step(step: &Step, run: &mut SuiteRun) -> StepOutcome {
    println!("\n=== {}: {}", step.name, step.about);
    match (step.run)(run) {
        Ok(()) => StepOutcome::Passed,
        Err(error) => {
            println!("=== {} failed: {error:#}", step.name);
            StepOutcome::Failed
        }
    }
}

fn summarize(
    done: &[(&'static Step, StepOutcome, Duration)],
    test_counts: Option<TestCounts>,
) -> Result<()> {
    println!();
    for (step, outcome, time) in done {
        let word = match outcome {
            StepOutcome::Passed => "passed".to_owned(),
            StepOutcome::Failed => "FAILED".to_owned(),
            StepOutcome::Blocked(needed) => format!("not run: {needed} failed"),
        };
        println!("{:>8.1} s  {:<14}{word}", time.as_secs_f64(), step.name);
    }
    let total: Duration = done.iter().map(|(_, _, time)| time).sum();
    println!("{:>8.1} s  total", total.as_secs_f64());
    if let Some(test_counts) = test_counts {
        println!("{test_counts}");
    }
    let bad: Vec<_> = done
        .iter()
        .filter(|(_, outcome, _)| !matches!(outcome, StepOutcome::Passed))
        .map(|(step, ..)| step.name)
        .collect();
    if !bad.is_empty() {
        bail!("run again with: cargo xtask test --only {}", bad.join(","));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_only_need_earlier_steps() {
        for (place, step) in STEPS.iter().enumerate() {
            for needed in step.needs {
                let before = STEPS[..place].iter().any(|other| other.name == *needed);
                assert!(
                    before,
                    "{} needs {needed}, which does not come before it",
                    step.name
                );
            }
        }
    }

    #[test]
    fn an_unknown_step_is_rejected() {
        let names = ["format".to_owned(), "fromat".to_owned()];
        let error = check_names(names.iter()).expect_err("fromat is not a step");
        assert!(error.to_string().contains("`fromat`"), "{error}");
    }
}
