//! The command line.

mod authority;
mod busy_server;
mod campaign;
mod config_args;
mod device;
mod firmware;
mod flag_names;
mod gateway;
mod gateway_token;
mod health;
mod key;
mod output;
mod plugin;
mod resolve_id;
mod revision;
mod serve;
mod settings;
mod tenant;
mod update;
mod update_log;
mod update_options;
mod update_view;
mod window;

use std::{process::ExitCode, str::FromStr};

use anyhow::Result;
use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use strum::VariantNames;

use busy_server::repeat_while_busy;
use flag_names::FlagNames;
use output::{print, print_error, print_json, print_json_text, show, show_value, visible_value};

pub(crate) use output::fail;

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
    /// Create and list tenants, in the server's database
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Create, list, show and revoke API keys, in the server's database
    #[command(subcommand)]
    Key(key::Key),
    /// Create and revoke gateway tokens, in the server's database
    #[command(subcommand)]
    GatewayToken(gateway_token::GatewayToken),
    /// Check whether a server is ready
    Health(health::Health),
    /// Manage campaigns: create, start, watch, pause, cancel, roll back
    Campaign(campaign::Campaign),
    /// Upload, list and delete firmware
    Firmware(firmware::Firmware),
    /// Manage devices: list, create, change, delete, replace tokens, update, roll back, explain
    Device(Box<device::Device>),
    /// List, create and revoke gateways
    Gateway(gateway::Gateway),
    /// List, add and remove certificate authorities of devices
    DeviceAuthority(authority::DeviceAuthority),
    /// List, show, approve, cancel and retry updates, and follow their logs
    Update(update::Update),
    /// Manage plugins; write, check, run, test and measure them without a server
    Plugin(plugin::Plugin),
    /// Show and change the tenant's settings
    Settings(settings::Settings),
}

/// A parsed command line.
pub(crate) struct Invocation {
    command: Command,
    flags: FlagNames,
}

impl Invocation {
    /// Parses the command line of this process; exits if it is invalid.
    pub(crate) fn parse() -> Self {
        let command = Cli::command();
        let matches = command.clone().get_matches();
        let flags = FlagNames::of(&command, &matches);
        let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Self {
            command: cli.command,
            flags,
        }
    }

    /// Runs the command; errors are printed to stderr.
    pub(crate) async fn run(self) -> ExitCode {
        match self.command.run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&self.flags.name_in(error)),
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

/// A parser for a flag whose values are the names of an enum. The help lists them, and other values are refused.
fn enum_value<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS)
        .try_map(|name| name.parse().map_err(|_| "there is no such value"))
}

/// The items of a list as a table, and how many more exist.
fn listing(answer: &serde_json::Value, columns: &[crate::client::table::Column<'_>]) -> String {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return "none".to_owned();
    }
    let mut text = crate::client::table::list(items, columns);
    if let Some(more) = more(answer) {
        text += "\n";
        text += &more;
    }
    text
}

/// How many items a page of a list has, if there are more.
fn more(answer: &serde_json::Value) -> Option<String> {
    let shown = answer["items"].as_array().map_or(0, Vec::len);
    let total = answer["total"].as_u64()?;
    (total > shown as u64)
        .then(|| format!("{shown} of {total}; see more with --limit and --offset"))
}

/// The page of a list.
#[derive(Debug, clap::Args)]
struct PageArgs {
    /// Maximum number of items
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Number of items to skip
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
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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
        check(&Cli::command());
    }
}
