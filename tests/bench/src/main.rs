//! Benchmarks of Tidegate. `cargo xtask bench` builds and runs them, with the programs to compare with.
//!
//! Figures are compared with other measurements of the same run, on loopback, by the same load generator. A figure
//! that misses its floor is printed as missed; this is an error only with `--strict`.

mod baseline;
mod busy;
mod campaign_start;
mod campaigns;
mod certificate;
mod database;
mod disk;
mod download;
mod fleet;
mod http1;
mod last_seen;
mod lists;
mod load;
mod machine;
mod poll;
mod process;
mod report;
mod sandbox;
mod tidegate;
mod updates;

use std::{
    env,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tidegate_slow_disk::{SlowDisk, SyncDelay};
use tokio::runtime::{Builder, Runtime};

use crate::{database::DatabaseKind, machine::Machine, report::Figure};

/// Measure Tidegate, and print each figure with what it is compared with
#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    role: Option<Role>,
    /// The server's program
    #[arg(long, value_name = "PATH", default_value = "target/dist/tidegate")]
    server_bin: PathBuf,
    /// Directory of the built-in components
    #[arg(long, value_name = "DIR", default_value = "target/components")]
    components: PathBuf,
    /// A PostgreSQL server with durable commits; without it only SQLite is measured
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// nginx, to compare downloads with; without it downloads are not measured
    #[arg(long, value_name = "PATH")]
    nginx: Option<PathBuf>,
    /// Directory of databases, files and the report
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    work: PathBuf,
    /// Measure only these figures (separated by commas)
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<FigureGroup>,
    /// Use small sizes: about a minute, to check that everything works
    #[arg(long)]
    quick: bool,
    /// Make each fsync and fdatasync take so many milliseconds longer, as on a slower disk. This applies to all programs
    /// that are started, but not to a PostgreSQL that runs already; `cargo xtask bench` starts one to which it applies
    #[arg(long, value_name = "MS")]
    fsync_delay_ms: Option<SyncDelay>,
    /// Exit with code 1 if a floor is missed
    #[arg(long)]
    strict: bool,
}

/// Other roles of this program: baseline servers are processes of their own.
#[derive(Debug, Subcommand)]
enum Role {
    /// Serve the responses in a file
    #[command(hide = true)]
    Bare { answers: PathBuf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FigureGroup {
    Decide,
    Assign,
    Validate,
    BuiltIns,
    Fuel,
    Load,
    Poll,
    Busy,
    Fleet,
    Storm,
    Lists,
    Updates,
    Campaigns,
    Download,
}

fn main() -> ExitCode {
    if let Some(code) = tidegate_sandbox::run_child() {
        return code;
    }
    let bench = Bench::parse();
    let done = match &bench.role {
        Some(Role::Bare { answers }) => baseline::run(answers).map(|()| true),
        None => bench.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Bench {
    /// Returns false if a floor was missed and `--strict` is set.
    fn run(&self) -> Result<bool> {
        // Fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(&self.work)
            .with_context(|| format!("create {}", self.work.display()))?;
        if let Some(delay) = self.fsync_delay_ms
            && SyncDelay::of_this_process() != Some(delay)
        {
            return Err(restart_on_slow_disk(&self.work, delay));
        }
        let machine = Machine::detect();
        log(&machine.to_string());
        let mut figures = Vec::new();
        for part in FigureGroup::value_variants() {
            if self.only.is_empty() || self.only.contains(part) {
                let group = self.run_group(*part).with_context(|| format!("{part:?}"))?;
                for figure in &group {
                    log(&format!("  {}", figure.line()));
                }
                figures.extend(group);
            }
        }
        let missed: Vec<&str> = figures
            .iter()
            .filter(|figure| figure.is_missed())
            .map(Figure::name)
            .collect();
        let file = self.work.join("report.json");
        self.write(&file, &machine, &figures, &missed)?;
        print(&report::table(&figures));
        let summary = match missed.len() {
            0 => "every floor holds".to_owned(),
            number => format!("{number} floors missed: {}", missed.join("; ")),
        };
        print(&format!("{machine}\n{summary}\n{}", file.display()));
        Ok(missed.is_empty() || !self.strict)
    }

    fn run_group(&self, part: FigureGroup) -> Result<Vec<Figure>> {
        log(&format!("{part:?} ..."));
        match part {
            FigureGroup::Decide => one_thread()?.block_on(sandbox::decide(self)),
            FigureGroup::Assign => one_thread()?.block_on(sandbox::assign(self)),
            FigureGroup::Validate => one_thread()?.block_on(sandbox::validate(self)),
            FigureGroup::BuiltIns => one_thread()?.block_on(sandbox::built_ins(self)),
            FigureGroup::Fuel => one_thread()?.block_on(sandbox::fuel(self)),
            FigureGroup::Load => one_thread()?.block_on(sandbox::load(self)),
            FigureGroup::Busy => one_thread()?.block_on(busy::measure(self)),
            FigureGroup::Poll => one_thread()?.block_on(poll::measure(self)),
            FigureGroup::Fleet => one_thread()?.block_on(fleet::measure(self)),
            FigureGroup::Storm => {
                self.on_each(|kind| one_thread()?.block_on(fleet::storm(self, kind)))
            }
            FigureGroup::Lists => {
                self.on_each(|kind| one_thread()?.block_on(lists::measure(self, kind)))
            }
            FigureGroup::Updates => {
                self.on_each(|kind| one_thread()?.block_on(updates::measure(self, kind)))
            }
            // The engine runs in this process, with as many threads as a server has.
            FigureGroup::Campaigns => self.on_each(|kind| {
                let threads = Builder::new_multi_thread().enable_all().build()?;
                let mut figures = threads.block_on(campaigns::measure(self, kind))?;
                figures.extend(one_thread()?.block_on(campaign_start::measure(self, kind))?);
                Ok(figures)
            }),
            FigureGroup::Download => {
                let Some(nginx) = &self.nginx else {
                    log("  skipped: nginx is needed for comparison");
                    return Ok(Vec::new());
                };
                one_thread()?.block_on(download::measure(self, nginx))
            }
        }
    }

    fn on_each(
        &self,
        measure: impl Fn(DatabaseKind) -> Result<Vec<Figure>>,
    ) -> Result<Vec<Figure>> {
        let mut figures = measure(DatabaseKind::Sqlite).context("on SQLite")?;
        if self.postgres.is_some() {
            figures.extend(measure(DatabaseKind::Postgres).context("on PostgreSQL")?);
        }
        Ok(figures)
    }

    fn write(
        &self,
        file: &Path,
        machine: &Machine,
        figures: &[Figure],
        missed: &[&str],
    ) -> Result<()> {
        let report = serde_json::json!({
            "machine": machine, "quick": self.quick, "figures": figures, "missed": missed,
        });
        let text = format!("{report:#}\n");
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}

/// Replaces this process by one with the same arguments whose syncs take longer. Returns why it cannot.
fn restart_on_slow_disk(folder: &Path, delay: SyncDelay) -> anyhow::Error {
    let restart = || -> Result<std::convert::Infallible> {
        let slow_disk = SlowDisk::build(folder, delay)?;
        let mut command = Command::new(env::current_exe()?);
        command.args(env::args_os().skip(1));
        slow_disk.apply_to(&mut command);
        Err(command.exec().into())
    };
    let Err(error) = restart();
    error.context("start again on a slow disk")
}

/// The load generator uses one thread and leaves the rest of the machine to the servers.
fn one_thread() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Prints progress to standard error.
fn log(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
