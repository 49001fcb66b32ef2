//! `cargo xtask ...`: every chore of development, from a bare toolchain to a tested build.
#![expect(
    clippy::print_stdout,
    reason = "a command line program speaks to its terminal"
)]

mod components;
mod debian;
mod guests;
mod postgres;
mod shell;
mod wasm_toolchain;
mod workspace;

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::postgres::{Cluster, Durability};
use crate::workspace::Workspace;

/// Chores of developing Tidegate. Each gets what it is missing, and says so.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build every plugin, policy and hostile guest into target/components
    Components,
    /// Run a throw-away PostgreSQL: for a command, which finds its address in the environment, or
    /// until Ctrl-C
    Postgres {
        /// Wait for the disk at each commit, as in production
        #[arg(long)]
        durable: bool,
        /// What to run with it, after `--`
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workspace = Workspace::find()?;
    match arguments.chore {
        Chore::Components => components::build(&workspace).map(drop),
        Chore::Postgres { durable, command } => run_postgres(durable, &command),
    }
}

fn run_postgres(durable: bool, command: &[OsString]) -> Result<()> {
    let cluster = Cluster::start(if durable {
        Durability::Fsync
    } else {
        Durability::None
    })?;
    let Some((program, arguments)) = command.split_first() else {
        println!("{}={}", postgres::VARIABLE, cluster.url());
        cluster.keep()
    };
    shell::run(
        Command::new(program)
            .args(arguments)
            .env(postgres::VARIABLE, cluster.url()),
    )
}
