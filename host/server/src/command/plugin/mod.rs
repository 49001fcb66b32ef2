//! Commands on plugins: those of a server, and components in files.

mod local;
mod remote;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::client::{Remote, RestClient};

pub(super) use remote::json_argument;

#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Remote(remote::Command),
    #[command(flatten)]
    Local(local::Command),
}

impl Plugin {
    pub(super) async fn run(self) -> Result<()> {
        match self.command {
            Command::Remote(command) => command.run(RestClient::new(self.remote)?).await,
            Command::Local(command) => command.run().await,
        }
    }
}
