//! `cargo xtask fuzz`: coverage-guided fuzzing of the parsers of untrusted input.
//!
//! A target is a test named `fuzz_...` next to its parser, defined with bolero. `cargo test` runs
//! it on the inputs in `__fuzz__/<name>/corpus` next to its source. Here the same tests are built
//! with libFuzzer and its coverage counters, which a stable compiler can do, and continue from
//! these inputs.

mod build;
mod target;

use std::fs;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use target::{FuzzStats, Target};

/// How each target is fuzzed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FuzzOptions {
    /// The duration.
    pub(crate) seconds: u32,
    /// The seed of the random generator: the same seed repeats the same run, as far as the time
    /// allows.
    pub(crate) seed: u32,
}

impl FuzzOptions {
    /// The options of continuous integration.
    pub(crate) const SHORT: Self = Self {
        seconds: 3,
        seed: 1,
    };
}

/// Fuzzes the named targets (all if empty), as many in parallel as there are processors. The error
/// names those that failed, after all have ended.
pub(crate) fn run(workspace: &Workspace, names: &[String], options: FuzzOptions) -> Result<()> {
    let mut targets = target::find(workspace, &build::programs(workspace)?)?;
    check_names(names, &targets)?;
    targets.retain(|target| names.is_empty() || names.contains(&target.name));
    let artifacts = artifacts(workspace)?;
    println!(
        "{} s for each target; logs and findings are in {}",
        options.seconds,
        artifacts.display()
    );
    let failed = explore(&targets, |target| {
        target.explore(&workspace.root, &artifacts.join(&target.name), options)
    });
    if !failed.is_empty() {
        bail!("run again with: cargo xtask fuzz {}", failed.join(" "));
    }
    Ok(())
}

/// Prints the result of each target when it ends. Returns the names of those that failed.
fn explore(targets: &[Target], run: impl Fn(&Target) -> Result<FuzzStats> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            match run(target) {
                Ok(found) => println!("{:<16}{found}", target.name),
                Err(error) => {
                    println!("{:<16}FAILED: {error:#}", target.name);
                    failed.push(target.name.clone());
                }
            }
        }
        failed
    };
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let failed = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        failed.flatten().collect()
    })
}

/// Creates an empty directory for the results, as a path relative to the root: libFuzzer's
/// arguments are split at spaces.
fn artifacts(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("fuzz");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("remove the results of the last run")?;
    }
    let from_root = folder.strip_prefix(&workspace.root).unwrap_or(&folder);
    Ok(from_root.to_path_buf())
}

fn check_names(names: &[String], targets: &[Target]) -> Result<()> {
    for name in names {
        if targets.iter().all(|target| target.name != *name) {
            let known: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
            bail!(
                "unknown target `{name}`; the targets are {}",
                known.join(", ")
            );
        }
    }
    Ok(())
}
