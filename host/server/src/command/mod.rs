//! The command line.

mod authority;
mod campaign;
mod config_args;
mod device;
mod firmware;
mod gateway;
mod gateway_token;
mod health;
mod key;
mod plugin;
mod resolve_id;
mod serve;
mod settings;
mod tenant;
mod update;
mod window;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::client::Unreachable;

/// Rolls software out to fleets of devices, as sandboxed plugins decide.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the server cannot be reached."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Make and list tenants, in the server's database
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Make, list and revoke API keys, in the server's database
    #[command(subcommand)]
    Key(key::Key),
    /// Make and revoke tokens of gateways that speak for devices, in the server's database
    #[command(subcommand)]
    GatewayToken(gateway_token::GatewayToken),
    /// Ask a server whether it is ready
    Health(health::Health),
    /// Roll firmware out: make, start, watch, stop and roll back campaigns
    Campaign(campaign::Campaign),
    /// Upload, list and delete firmware
    Firmware(firmware::Firmware),
    /// List, make, change and delete devices, replace their tokens, and see why one has or has not been given something
    Device(device::Device),
    /// List, make and revoke gateways that speak for devices
    Gateway(gateway::Gateway),
    /// List, add and remove authorities whose certificates devices show
    DeviceAuthority(authority::DeviceAuthority),
    /// List and show updates, call them back, try them again, follow their logs
    Update(update::Update),
    /// List, upload and check plugins
    Plugin(plugin::Plugin),
    /// See and change what the tenant sets for itself
    Settings(settings::Settings),
}

impl Cli {
    /// Does what the command line says; what went wrong is on stderr.
    pub(crate) async fn run(self) -> ExitCode {
        match self.command.run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(if error.is::<Unreachable>() { 3 } else { 1 })
            }
        }
    }
}

impl Command {
    async fn run(self) -> Result<()> {
        match self {
            Self::Serve(command) => command.run().await,
            Self::Tenant(command) => command.run().await,
            Self::Key(command) => command.run().await,
            Self::GatewayToken(command) => command.run().await,
            Self::Health(command) => command.run().await,
            Self::Campaign(command) => command.run().await,
            Self::Firmware(command) => command.run().await,
            Self::Device(command) => command.run().await,
            Self::Gateway(command) => command.run().await,
            Self::DeviceAuthority(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::Plugin(command) => command.run().await,
            Self::Settings(command) => command.run().await,
        }
    }
}

/// Prints a line. Whoever reads it may stop reading, as `head` does: then there is nobody to talk to.
fn print(line: impl std::fmt::Display) {
    use std::io::Write as _;

    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

/// Shows what the server answered: its own JSON when that is wanted, else what `human` makes of it.
fn show(
    rest: &crate::client::RestClient,
    answer: &serde_json::Value,
    human: impl FnOnce(&serde_json::Value) -> String,
) {
    if rest.wants_json() {
        print(format_args!("{answer:#}"));
    } else {
        print(human(answer));
    }
}

/// The items of a list, and a line that says how many more there are.
fn listing(answer: &serde_json::Value, columns: &[crate::client::table::Column<'_>]) -> String {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return "none".to_owned();
    }
    let text = crate::client::table::list(items, columns);
    let total = answer["total"].as_u64().unwrap_or(items.len() as u64);
    if total <= items.len() as u64 {
        return text;
    }
    format!(
        "{text}\n{} of {total}; see more with --limit and --offset",
        items.len()
    )
}

/// Which part of a list.
#[derive(Debug, clap::Args)]
struct PageArgs {
    /// How many to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// How many to skip
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

impl PageArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        vec![
            ("limit", self.limit.to_string()),
            ("offset", self.offset.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_has_help() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let (command, argument, help) =
                    (command.get_name(), argument.get_id(), argument.get_help());
                assert!(help.is_some(), "{command}: {argument}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }
}
