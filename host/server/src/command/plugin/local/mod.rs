//! Commands for authors of plugins, on projects and components in files. They need no server.

mod bench;
mod check;
mod code_folder;
mod component;
mod inspect;
mod new;
mod run;
mod test;
mod trial_calls;
mod usage;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write the project of a new plugin, with everything that its build needs
    New(new::New),
    /// Show what a component is, without a server
    ///
    /// Shows its plugin, its interfaces, the schema of its config, and what trial calls use of their limits. A component
    /// that a server would reject is shown with the reason, as far as it can be read.
    Inspect(inspect::Inspect),
    /// Check a component as a server does at its upload, without a server
    ///
    /// Exits with 1 and the server's reason if the component would be rejected. Notes name what is not an error, such as a
    /// call that comes close to a limit.
    Check(check::Check),
    /// Make one call of a component, without a server
    ///
    /// Prints the output, and to stderr what the call used of its limits and what the plugin logged. The input is that of
    /// a golden; without one it is the small invented campaign on which uploads are tried, with the example config of the
    /// plugin's schema.
    Run(run::Run),
    /// Run the goldens of a component, without a server
    ///
    /// A golden is a file `{"call", "input", "expect"}`. Each one of a folder is run through the sandbox, and its output
    /// is compared with `expect`.
    Test(test::Test),
    /// Measure the calls of a component, without a server
    ///
    /// Makes each call many times, with the inputs of goldens if there are some, or else on the small invented campaign on
    /// which uploads are tried.
    Bench(bench::Bench),
}

impl Command {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::New(command) => command.run(),
            Self::Inspect(command) => command.run().await,
            Self::Check(command) => command.run().await,
            Self::Run(command) => command.run().await,
            Self::Test(command) => command.run().await,
            Self::Bench(command) => command.run().await,
        }
    }
}
