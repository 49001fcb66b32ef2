//! `cargo xtask ...`: the development tasks, from a bare toolchain to a tested build.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program prints to its terminal"
)]

mod api_clients;
mod bench;
#[cfg(test)]
mod c_bindings;
mod clients;
mod components;
#[cfg(test)]
mod contracts;
mod debian;
mod demo;
#[cfg(test)]
mod dependencies;
mod dist;
#[cfg(test)]
mod dockerfile;
mod fuzz;
mod guests;
#[cfg(test)]
mod import_circles;
#[cfg(test)]
mod module_tree;
mod plugin_projects;
mod postgres;
#[cfg(test)]
mod prose;
mod reproducible;
#[cfg(test)]
mod sdk_package;
mod shell;
mod suite;
mod wasm_toolchain;
mod workspace;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use tidegate_slow_disk::SyncDelay;

use crate::bench::Comparison;
use crate::demo::Profile;
use crate::fuzz::FuzzOptions;
use crate::postgres::{Cluster, Durability};
use crate::workspace::Workspace;

/// Development tasks. Each installs the tools that it needs, and prints which
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Roll a firmware out to a simulated fleet, and roll a bad one back
    Demo {
        /// Exit when the campaigns have ended, with code 0 only if all results are as expected
        #[arg(long)]
        exit: bool,
        /// Build profile of the server
        #[arg(long, value_enum, default_value = "release")]
        profile: Profile,
    },
    /// Run everything that continuous integration runs
    #[command(after_help = format!("Steps: {}", suite::names()))]
    Test {
        /// Run only these steps (separated by commas)
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        only: Vec<String>,
        /// Skip these steps (separated by commas)
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        skip: Vec<String>,
        /// Also test third-party clients of devices, which needs root, and of the REST API, and
        /// plugins in other languages than Rust; always tested with CI=true. Debian installs what
        /// they need
        #[arg(long)]
        clients: bool,
    },
    /// Build every plugin and policy, or only some, into target/components
    Components {
        /// Build only these: the names of their files without `.wasm`
        names: Vec<String>,
        /// Leave out the plugins that only tests use
        #[arg(long, conflicts_with = "names")]
        shipped: bool,
    },
    /// Run a temporary PostgreSQL, for a command that gets its URL in the environment, or until
    /// Ctrl-C
    Postgres {
        /// Make commits durable, as in production
        #[arg(long)]
        durable: bool,
        /// Make each fsync and fdatasync take so many milliseconds longer, also those of the command
        #[arg(long, value_name = "MS", requires = "durable")]
        fsync_delay_ms: Option<SyncDelay>,
        /// The command to run with it, after `--`
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Build all components twice, in different directories, and compare their bytes
    Reproducible,
    /// Fuzz the parsers of untrusted input, guided by coverage
    Fuzz {
        /// Fuzz only these targets
        targets: Vec<String>,
        /// Duration for each target
        #[arg(long, value_name = "SECONDS", default_value_t = FuzzOptions::SHORT.seconds)]
        seconds: u32,
        /// Seed of the random generator
        #[arg(long, value_name = "NUMBER", default_value_t = FuzzOptions::SHORT.seed)]
        seed: u32,
    },
    /// Measure, and print each figure with what it is compared with
    Bench {
        /// Also measure another revision, alternating with this one, and print both side by side
        #[arg(long, value_name = "REV")]
        compare: Option<String>,
        /// Number of measurements of each revision
        #[arg(long, value_name = "NUMBER", default_value_t = 3, requires = "compare")]
        rounds: u32,
        /// Further arguments of tidegate-bench
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build the shipped files into target/dist: the server, and the components next to it
    Dist,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.task) {
        Ok(code) => code,
        // Returning the error would print a backtrace, which is not useful here.
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
        Task::Components { names, .. } if !names.is_empty() => {
            components::build_named(&workspace, &names)
        }
        Task::Components { shipped: true, .. } => components::build(&workspace).map(drop),
        Task::Components { shipped: false, .. } => components::build_with_examples(&workspace),
        Task::Postgres {
            durable,
            fsync_delay_ms,
            command,
        } => {
            let durability = if durable {
                Durability::on_disk(fsync_delay_ms)
            } else {
                Durability::None
            };
            run_postgres(durability, &command)
        }
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

fn run_postgres(durability: Durability, command: &[OsString]) -> Result<()> {
    let cluster = Cluster::start(durability)?;
    let Some((program, arguments)) = command.split_first() else {
        println!("{}={}", postgres::VARIABLE, cluster.url());
        cluster.park()
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(postgres::VARIABLE, cluster.url());
    cluster.share_slow_disk(&mut command);
    shell::run(&mut command)
}
