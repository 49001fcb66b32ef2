//! `cargo xtask ...`: every chore of development, from a bare toolchain to a tested build.
#![expect(
    clippy::print_stdout,
    reason = "a command line program speaks to its terminal"
)]

mod components;
mod debian;
mod guests;
mod shell;
mod wasm_toolchain;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workspace = Workspace::find()?;
    match arguments.chore {
        Chore::Components => components::build(&workspace).map(drop),
    }
}
