//! `cargo xtask bench --compare REV`: another revision and this one, measured in turns on one machine.
//!
//! The other revision is checked out and built in a folder of its own below `target/compare`. Groups that measure a server
//! process run this checkout's load generator against both servers, so that both are asked the same. Groups that link the
//! engine or the sandbox run each revision's own benchmark.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{PROFILE, Programs, add_tools, options::take_option};
use crate::postgres::{Cluster, Durability};
use crate::shell;
use crate::workspace::Workspace;

/// A group of the benchmark's figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Group {
    name: &'static str,
    /// Whether it measures code that is linked into the benchmark itself.
    is_linked: bool,
}

const GROUPS: [Group; 9] = [
    linked("decide"),
    linked("assign"),
    linked("campaigns"),
    of_server("poll"),
    of_server("fleet"),
    of_server("storm"),
    of_server("lists"),
    of_server("updates"),
    of_server("download"),
];

const fn linked(name: &'static str) -> Group {
    let is_linked = true;
    Group { name, is_linked }
}

const fn of_server(name: &'static str) -> Group {
    let is_linked = false;
    Group { name, is_linked }
}

/// A figure of processor time or memory may be worse by this share before it counts as a regression.
const TOLERANCE: f64 = 0.05;

/// What to compare with, and how.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// A revision that git knows.
    pub(crate) revision: String,
    /// How often each revision runs, in turns.
    pub(crate) rounds: u32,
}

/// A figure of the benchmark's report.
#[derive(Clone)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
}

/// One figure of both revisions, a value for each round.
#[derive(Debug, Default, PartialEq)]
struct Series {
    unit: String,
    base: Vec<f64>,
    this: Vec<f64>,
}

/// Builds both revisions, runs them in turns and prints the figures side by side. An error names the figures that are
/// worse than the other revision by more than 5 % and lie outside its spread.
pub(crate) fn run(
    workspace: &Workspace,
    this: &Programs,
    comparison: &Comparison,
    durability: Durability,
    arguments: &[OsString],
) -> Result<()> {
    if comparison.rounds == 0 {
        bail!("--rounds must be at least 1");
    }
    let (groups, arguments) = select_groups(arguments)?;
    let base = build(workspace, &comparison.revision)?;
    let cluster = Cluster::start(durability)?;
    let mut all: Vec<(String, Series)> = Vec::new();
    for group in groups {
        let mut figures = Vec::new();
        for round in 1..=comparison.rounds {
            println!("{}, round {round} of {}", group.name, comparison.rounds);
            let harness = if group.is_linked { &base } else { this };
            let measured = |harness: &Programs, measured: &Programs, name: &str| {
                let work = workspace.target.join("compare").join(name);
                measure(
                    workspace, harness, measured, group.name, &work, &cluster, &arguments,
                )
            };
            // Each goes first every other time, so that a machine that grows slower favours neither.
            let (ours, theirs) = if round % 2 == 0 {
                let ours = measured(this, this, "this")?;
                (ours, measured(harness, &base, "base")?)
            } else {
                let theirs = measured(harness, &base, "base")?;
                (measured(this, this, "this")?, theirs)
            };
            add_round(&mut figures, &ours, &theirs);
        }
        all.extend(figures);
    }
    println!("\n{}", table(&comparison.revision, &all));
    let worse: Vec<&str> = all
        .iter()
        .filter(|(name, series)| series.is_worse(name))
        .map(|(name, _)| name.as_str())
        .collect();
    if !worse.is_empty() {
        bail!("worse than {}: {}", comparison.revision, worse.join("; "));
    }
    Ok(())
}

/// The groups to run, and the arguments without `--only`, which the benchmark is given for one group at a time.
fn select_groups(arguments: &[OsString]) -> Result<(Vec<Group>, Vec<OsString>)> {
    let (lists, rest) = take_option("--only", arguments)?;
    let only: Vec<&str> = lists.iter().flat_map(|list| list.split(',')).collect();
    if let Some(unknown) = only
        .iter()
        .find(|name| GROUPS.iter().all(|group| group.name != **name))
    {
        let known: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        bail!("no group `{unknown}`; the groups are {}", known.join(", "));
    }
    let is_selected = |group: &&Group| only.is_empty() || only.contains(&group.name);
    Ok((GROUPS.iter().filter(is_selected).copied().collect(), rest))
}

/// Checks the revision out into a folder of its own and builds it there for release, components included.
fn build(workspace: &Workspace, revision: &str) -> Result<Programs> {
    let mut git = git(workspace);
    let commit = shell::output(
        git.args(["rev-parse", "--verify", "--quiet"])
            .arg(format!("{revision}^{{commit}}")),
    )
    .with_context(|| {
        format!("git knows no revision `{revision}`; a shallow clone lacks most of them")
    })?;
    let folder = workspace.target.join("compare").join(&commit[..12]);
    if !folder.join("Cargo.toml").exists() {
        fs::create_dir_all(workspace.target.join("compare"))?;
        let mut git = self::git(workspace);
        shell::run(
            git.args(["worktree", "add", "--force", "--detach"])
                .arg(&folder)
                .arg(&commit),
        )?;
    }
    let other = Workspace {
        root: folder.clone(),
        target: folder.join("target"),
        cargo_home: workspace.cargo_home.clone(),
    };
    println!("building {revision} in {}", folder.display());
    let cargo = || {
        let mut cargo = other.cargo();
        cargo
            .env("CARGO_TARGET_DIR", &other.target)
            .env_remove("CARGO_MANIFEST_DIR");
        cargo
    };
    // Its components are built by its own tasks: the contract may differ.
    shell::run(cargo().args(["xtask", "components"]))?;
    shell::run(cargo().args([
        "build",
        "--profile",
        PROFILE.name(),
        "--package",
        "tidegate",
        "--package",
        "tidegate-bench",
    ]))?;
    Ok(Programs::of(&other))
}

fn git(workspace: &Workspace) -> Command {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root);
    git
}

/// Runs one group and reads its figures.
fn measure(
    workspace: &Workspace,
    harness: &Programs,
    measured: &Programs,
    group: &str,
    work: &Path,
    cluster: &Cluster,
    arguments: &[OsString],
) -> Result<Vec<Figure>> {
    let mut command = Command::new(&harness.bench);
    command
        .current_dir(&workspace.root)
        .arg("--server-bin")
        .arg(&measured.server)
        .arg("--components")
        .arg(&measured.components)
        .arg("--work")
        .arg(work)
        .args(["--postgres", cluster.url(), "--only", group]);
    add_tools(workspace, &mut command);
    cluster.share_slow_disk(&mut command);
    shell::output(command.args(arguments))?;
    let file: PathBuf = work.join("report.json");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    figures(&text).with_context(|| format!("read {}", file.display()))
}

fn figures(report: &str) -> Result<Vec<Figure>> {
    let report: Value = serde_json::from_str(report)?;
    let figures = report["figures"].as_array().context("it has no figures")?;
    let figure = |figure: &Value| {
        Some(Figure {
            name: figure["name"].as_str()?.to_owned(),
            value: figure["value"].as_f64()?,
            unit: figure["unit"].as_str()?.to_owned(),
        })
    };
    figures
        .iter()
        .map(|value| figure(value).with_context(|| format!("not a figure: {value}")))
        .collect()
}

/// Adds one round. A figure that was renamed since is paired by its position, if both revisions report equally many of
/// the same units; a figure that one revision lacks has no values there.
fn add_round(figures: &mut Vec<(String, Series)>, this: &[Figure], base: &[Figure]) {
    let same_units = this.len() == base.len()
        && this
            .iter()
            .zip(base)
            .all(|(ours, theirs)| ours.unit == theirs.unit);
    let mut value = |name: &str, unit: &str, side: fn(&mut Series) -> &mut Vec<f64>, value: f64| {
        let known = figures.iter().position(|(known, _)| known == name);
        let position = known.unwrap_or_else(|| {
            let unit = unit.to_owned();
            let series = Series {
                unit,
                ..Series::default()
            };
            figures.push((name.to_owned(), series));
            figures.len() - 1
        });
        side(&mut figures[position].1).push(value);
    };
    for figure in this {
        value(
            &figure.name,
            &figure.unit,
            |series| &mut series.this,
            figure.value,
        );
    }
    for (position, figure) in base.iter().enumerate() {
        let name = match this.get(position) {
            Some(ours) if same_units => &ours.name,
            _ => &figure.name,
        };
        value(name, &figure.unit, |series| &mut series.base, figure.value);
    }
}

impl Series {
    /// Whether more is better: rates are, times and sizes are not.
    fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// Of this revision to the other; none where one of them has no values.
    fn ratio(&self) -> Option<f64> {
        Some(median(&self.this)? / median(&self.base)?)
    }

    /// Processor time and memory: worse by more than the tolerance. A time by the clock: outside all that the other
    /// revision was measured at.
    fn is_worse(&self, name: &str) -> bool {
        let (Some(ratio), Some(this)) = (self.ratio(), median(&self.this)) else {
            return false;
        };
        if name.contains("CPU") || self.unit.contains("CPU") || self.unit == "MiB" {
            return ratio > 1.0 + TOLERANCE;
        }
        if self.more_is_better() {
            self.base.iter().all(|base| this < *base)
        } else {
            self.base.iter().all(|base| this > *base)
        }
    }

    fn verdict(&self, name: &str) -> &'static str {
        match self.ratio() {
            None if self.base.is_empty() => "new",
            None => "gone",
            Some(_) if self.is_worse(name) => "WORSE",
            Some(_) => "",
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A line for each figure: the medians, the spread of the other revision, and the ratio.
fn table(revision: &str, all: &[(String, Series)]) -> String {
    let mut text = format!("this revision beside {revision}: median [lowest, highest], ratio\n");
    for (name, series) in all {
        let side = |values: &[f64]| match median(values) {
            None => "-".to_owned(),
            Some(median) => {
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                format!("{median:.4} [{low:.4}, {high:.4}]")
            }
        };
        let ratio = series
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        // Writing to a string never fails.
        let _ = writeln!(
            text,
            "{name}\n    this {} {unit}; base {} {unit}; ratio {ratio} {}",
            side(&series.this),
            side(&series.base),
            series.verdict(name),
            unit = series.unit,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: f64, unit: &str) -> Figure {
        Figure {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        }
    }

    fn series(unit: &str, base: &[f64], this: &[f64]) -> Series {
        Series {
            unit: unit.to_owned(),
            base: base.to_vec(),
            this: this.to_vec(),
        }
    }

    #[test]
    fn a_time_by_the_clock_is_worse_beyond_the_spread() {
        let is_worse =
            |unit, base: &[f64], this: &[f64]| series(unit, base, this).is_worse("a tick");
        assert!(is_worse("ms", &[10.0, 10.2, 9.9], &[11.0, 11.1, 10.9]));
        assert!(!is_worse("ms", &[10.0, 11.5, 9.9], &[11.0, 11.1, 10.9]));
        assert!(is_worse("ms", &[10.0, 10.1, 9.9], &[10.3, 10.4, 10.2]));
        assert!(is_worse(
            "requests/s",
            &[100.0, 101.0, 99.0],
            &[90.0, 91.0, 89.0]
        ));
        assert!(!is_worse("requests/s", &[100.0, 101.0, 99.0], &[190.0]));
        assert!(!is_worse("ms", &[], &[5.0]));
    }

    #[test]
    fn processor_time_is_worse_beyond_the_tolerance() {
        let is_worse = |base: &[f64], this: &[f64]| {
            series("µs/request", base, this).is_worse("poll: the server's CPU time")
        };
        assert!(is_worse(&[10.0, 12.0, 9.9], &[10.6]));
        assert!(!is_worse(&[10.0, 10.1, 9.9], &[10.4]));
    }

    #[test]
    fn a_renamed_figure_is_paired_by_position() {
        let mut all = Vec::new();
        let this = vec![figure("poll", 2.0, "ms"), figure("new name", 3.0, "MiB")];
        let base = vec![figure("poll", 1.0, "ms"), figure("old name", 4.0, "MiB")];
        add_round(&mut all, &this, &base);
        let expected = [
            ("poll".to_owned(), series("ms", &[1.0], &[2.0])),
            ("new name".to_owned(), series("MiB", &[4.0], &[3.0])),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_figure_of_one_revision_stands_alone() {
        let mut all = Vec::new();
        let this = vec![figure("poll", 2.0, "ms"), figure("list", 3.0, "ms")];
        let base = [figure("poll", 1.0, "ms")];
        add_round(&mut all, &this, &base);
        let of = |name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            &found.expect("the figure").1
        };
        assert_eq!(of("list").verdict("list"), "new");
        assert_eq!(of("poll").ratio(), Some(2.0));
    }

    #[test]
    fn groups_are_taken_out_of_the_arguments() {
        let arguments = ["--quick", "--only", "poll,storm"].map(OsString::from);
        let (groups, rest) = select_groups(&arguments).expect("known groups");
        assert_eq!(groups, [of_server("poll"), of_server("storm")]);
        assert_eq!(rest, ["--quick"]);
        let error = select_groups(&["--only=pool".into()]).expect_err("no such group");
        assert!(error.to_string().contains("`pool`"), "{error}");
    }
}
