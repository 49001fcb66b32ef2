//! A complete demo: a good firmware is rolled out to all devices, a bad one is stopped and rolled back.

#![expect(
    clippy::print_stdout,
    reason = "a command line program prints to its terminal"
)]

mod checks;
mod server;
mod steps;
mod view;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use tidegate_fleet::{Fleet, FleetOptions, Operator, Pace, Profiles};
use tokio::signal::unix::{SignalKind, signal};

use server::Server;
use view::View;

/// The version that is rolled out to all devices.
const GOOD: &str = "1.1.0";
/// The version that fails on three of ten devices.
const BAD: &str = "1.2.0";
/// Maximum time for both campaigns.
const TIMEOUT: Duration = Duration::from_mins(6);

/// Start a server and a fleet on this machine and roll out two firmware versions
#[derive(Debug, Parser)]
#[command(name = "tidegate-demo", version)]
struct Arguments {
    /// The server's program
    #[arg(long, value_name = "PATH")]
    server_bin: PathBuf,
    /// Directory of the components
    #[arg(long, value_name = "DIR")]
    components: PathBuf,
    /// An empty directory for all data
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Port of the server [default: 8080, or any free port]
    #[arg(long)]
    port: Option<u16>,
    /// Number of devices
    #[arg(long, default_value_t = 300)]
    devices: usize,
    /// Seed of all random decisions
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Exit when both campaigns have ended; with code 0 only if all results are as expected
    #[arg(long)]
    exit: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("the demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let view = View::new();
    let mut server = Server::start(arguments).await?;
    view.print(&format!(
        "the server listens on {} (its log: {})",
        server.url,
        server.log.display()
    ));
    let url = server.url.clone();
    let hints = server.hints();
    let shown = async {
        let fleet = run_campaigns(arguments, &url, &view).await?;
        view.clear();
        if !arguments.exit {
            println!("{hints}");
            std::future::pending::<()>().await;
        }
        fleet.stop().await;
        Ok(())
    };
    let ended = tokio::select! {
        shown = shown => shown,
        error_with_log = server.ended() => return Err(error_with_log),
        signalled = stop_signal() => match signalled {
            Ok(()) if arguments.exit => Err(anyhow!("stopped before both campaigns had ended")),
            signalled => signalled,
        },
    };
    server.stop().await?;
    ended
}

/// Waits for a signal that stops the demo, so that the server is stopped too.
async fn stop_signal() -> Result<()> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

async fn run_campaigns(arguments: &Arguments, url: &str, view: &View) -> Result<Fleet> {
    let operator = Operator::new(url)?;
    let token = operator
        .dev_token("demo", "admin")
        .await
        .context("get a token")?;
    let operator = operator.with_token(token);

    let mut options = FleetOptions::new(url, arguments.devices);
    options.seed = arguments.seed;
    options.pace = Pace {
        poll: (Duration::from_millis(300), Duration::from_secs(1)),
        step: Duration::from_millis(250),
    };
    options.profiles = Profiles::default().with(BAD, |profile| profile.fails = 0.3);
    let fleet = Fleet::start(options).context("start the fleet")?;
    view.print(&format!(
        "{} devices are started, on version 1.0.0",
        arguments.devices
    ));

    let campaigns = async {
        steps::wait_for_devices(&operator, arguments.devices).await?;
        view.print("every device is registered and has reported its attributes");
        let good = steps::roll_out(&operator, view, &fleet, GOOD).await?;
        checks::completed(&operator, &fleet, good).await?;
        view.print(&format!("as expected: every device runs {GOOD}"));
        let bad = steps::roll_out(&operator, view, &fleet, BAD).await?;
        checks::rolled_back(&operator, &fleet, bad).await
    };
    let summary = tokio::time::timeout(TIMEOUT, campaigns)
        .await
        .context("the campaigns took too long")??;
    view.print(&summary);
    Ok(fleet)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
