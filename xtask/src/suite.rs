//! `cargo xtask test`: everything that continuous integration runs, as a list of named steps.

mod deny;
mod steps;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use steps::{STEPS, Step};
use tally::Tally;

/// What the steps share.
struct Run<'a> {
    workspace: &'a Workspace,
    /// Whether clients of others were asked for.
    clients: bool,
    tally: Option<Tally>,
}

/// How a step ended.
enum Outcome {
    Passed,
    Failed,
    /// Not run, because the named step that it needs failed.
    Blocked(&'static str),
}

/// Runs the steps named in `only` (all when empty) but for those in `skip`, in the list's order. A
/// step that fails stops only those that need it; an error tells which did.
pub(crate) fn run(
    workspace: &Workspace,
    only: &[String],
    skip: &[String],
    clients: bool,
) -> Result<()> {
    check_names(only.iter().chain(skip))?;
    let mut run = Run {
        workspace,
        clients,
        tally: None,
    };
    let mut done: Vec<(&'static Step, Outcome, Duration)> = Vec::new();
    for step in STEPS {
        let wanted = only.is_empty() || only.iter().any(|name| name == step.name);
        if !wanted || skip.iter().any(|name| name == step.name) {
            continue;
        }
        let start = Instant::now();
        let outcome = match blocker(step, &done) {
            Some(needed) => Outcome::Blocked(needed),
            None => attempt(step, &mut run),
        };
        done.push((step, outcome, start.elapsed()));
    }
    summarize(&done, run.tally)
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
            bail!("there is no step `{name}`; the steps are {}", self::names());
        }
    }
    Ok(())
}

fn blocker(step: &Step, done: &[(&'static Step, Outcome, Duration)]) -> Option<&'static str> {
    let fails = |name: &str| {
        done.iter()
            .any(|(other, outcome, _)| other.name == name && !matches!(outcome, Outcome::Passed))
    };
    step.needs.iter().copied().find(|name| fails(name))
}

fn attempt(step: &Step, run: &mut Run) -> Outcome {
    println!("\n=== {}: {}", step.name, step.about);
    match (step.run)(run) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            println!("=== {} failed: {error:#}", step.name);
            Outcome::Failed
        }
    }
}

fn summarize(done: &[(&'static Step, Outcome, Duration)], tally: Option<Tally>) -> Result<()> {
    println!();
    for (step, outcome, time) in done {
        let word = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::Blocked(needed) => format!("not run: {needed} failed"),
        };
        println!("{:>8.1} s  {:<14}{word}", time.as_secs_f64(), step.name);
    }
    let total: Duration = done.iter().map(|(_, _, time)| time).sum();
    println!("{:>8.1} s  in all", total.as_secs_f64());
    if let Some(tally) = tally {
        println!("{tally}");
    }
    let bad: Vec<_> = done
        .iter()
        .filter(|(_, outcome, _)| !matches!(outcome, Outcome::Passed))
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
    fn a_step_waits_for_the_steps_before_it_only() {
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
    fn an_unknown_step_is_refused_by_name() {
        let names = ["format".to_owned(), "fromat".to_owned()];
        let error = check_names(names.iter()).expect_err("fromat is no step");
        assert!(error.to_string().contains("`fromat`"), "{error}");
    }
}
