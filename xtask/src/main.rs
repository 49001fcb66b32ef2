//! `cargo xtask ...`: every chore of development, from a bare toolchain to a tested build.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program speaks to its terminal"
)]

mod bench;
mod clients;
mod components;
mod debian;
mod demo;
mod dist;
#[cfg(test)]
mod dockerfile;
mod fuzz;
mod guests;
mod postgres;
mod reproducible;
mod shell;
mod suite;
mod wasm_toolchain;
mod workspace;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::Comparison;
use crate::demo::Profile;
use crate::fuzz::FuzzOptions;
use crate::postgres::{Cluster, Durability};
use crate::workspace::Workspace;

/// Chores of developing Tidegate. Each gets what it is missing, and says so.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Roll a firmware out to a simulated fleet, and a bad one back
    Demo {
        /// End with the campaigns: code 0 only when all went as it must
        #[arg(long)]
        exit: bool,
        /// How the host is built
        #[arg(long, value_enum, default_value = "release")]
        profile: Profile,
    },
    /// SuiteRun everything that continuous integration runs
    #[command(after_help = format!("Steps: {}", suite::names()))]
    Test {
        /// SuiteRun these steps only (separated by commas)
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        only: Vec<String>,
        /// Leave these steps out (separated by commas)
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        skip: Vec<String>,
        /// Also have device clients that others wrote install something, which needs their packages and
        /// root's rights; with CI=true that is done wherever it can be
        #[arg(long)]
        clients: bool,
    },
    /// Build every plugin and policy into target/components
    Components,
    /// SuiteRun a throw-away PostgreSQL: for a command, which finds its address in the environment, or
    /// until Ctrl-C
    Postgres {
        /// Wait for the disk at each commit, as in production
        #[arg(long)]
        durable: bool,
        /// What to run with it, after `--`
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Build all components twice, in different folders, and compare their bytes
    Reproducible,
    /// Give the parsers of what comes from outside inputs that nobody thought of, led by coverage
    Fuzz {
        /// Explore these targets only
        targets: Vec<String>,
        /// How long to explore each of them
        #[arg(long, value_name = "SECONDS", default_value_t = FuzzOptions::SHORT.seconds)]
        seconds: u32,
        /// Begin elsewhere
        #[arg(long, value_name = "NUMBER", default_value_t = FuzzOptions::SHORT.seed)]
        seed: u32,
    },
    /// Measure, each figure beside what it is compared with
    Bench {
        /// Also measure another revision in turns with this one, and show both side by side
        #[arg(long, value_name = "REV")]
        compare: Option<String>,
        /// How often each of both is measured
        #[arg(long, value_name = "NUMBER", default_value_t = 3, requires = "compare")]
        rounds: u32,
        /// What tidegate-bench is told besides
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build what is shipped into target/dist: the host, and the components beside it
    Dist,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.task) {
        Ok(code) => code,
        // Not by returning the error: that would print a backtrace, which helps nobody here.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Demo { exit, profile } => match demo::run(&workspace, profile, exit)? {},
        Task::Test {
            only,
            skip,
            clients,
        } => suite::run(&workspace, &only, &skip, clients),
        Task::Components => components::build(&workspace).map(drop),
        Task::Postgres { durable, command } => run_postgres(durable, &command),
        Task::Reproducible => reproducible::check(&workspace),
        Task::Fuzz {
            targets,
            seconds,
            seed,
        } => fuzz::run(&workspace, &targets, FuzzOptions { seconds, seed }),
        Task::Bench {
            compare,
            rounds,
            arguments,
        } => {
            let comparison = compare.map(|revision| Comparison { revision, rounds });
            bench::run(&workspace, comparison.as_ref(), &arguments)
        }
        Task::Dist => dist::run(&workspace),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn run_postgres(durable: bool, command: &[OsString]) -> Result<()> {
    let cluster = Cluster::start(if durable {
        Durability::Fsync
    } else {
        Durability::None
    })?;
    let Some((program, arguments)) = command.split_first() else {
        println!("{}={}", postgres::VARIABLE, cluster.url());
        cluster.park()
    };
    shell::run(
        Command::new(program)
            .args(arguments)
            .env(postgres::VARIABLE, cluster.url()),
    )
}
