//! The command line of the fleet simulator.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tidegate_ddi_client::Credentials;
use tidegate_fleet::{DeviceRecord, Fleet, FleetOptions, Pace, Profiles};

/// Simulate devices that use DDI, until interrupted
#[derive(Debug, Parser)]
#[command(name = "tidegate-fleet", version)]
struct Arguments {
    /// The server's URL
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The tenant of the devices
    #[arg(long, default_value = "DEFAULT")]
    tenant: String,
    /// Number of devices
    #[arg(long, default_value_t = 100)]
    devices: usize,
    /// Prefix of the device ids
    #[arg(long, default_value = "box-")]
    prefix: String,
    /// Seed of all random decisions; the same seed gives the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Initial version of the devices
    #[arg(long, default_value = "1.0.0")]
    initial_version: String,
    /// An attribute of the devices; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// Share of devices on which a version fails to install; may be repeated
    #[arg(long = "fail", value_name = "VERSION=SHARE", value_parser = share)]
    fails: Vec<(String, f64)>,
    /// Share of devices on which a version installs slowly; may be repeated
    #[arg(long = "slow", value_name = "VERSION=SHARE", value_parser = share)]
    slow: Vec<(String, f64)>,
    /// Share of devices that stop communicating while they install a version; may be repeated
    #[arg(long = "silent", value_name = "VERSION=SHARE", value_parser = share)]
    silent: Vec<(String, f64)>,
    /// Share of devices that reject the cancellation of a version; may be repeated
    #[arg(long = "reject-cancel", value_name = "VERSION=SHARE", value_parser = share)]
    rejects_cancel: Vec<(String, f64)>,
    /// Share of devices whose user denies a version if a confirmation is requested; may be repeated
    #[arg(long = "deny", value_name = "VERSION=SHARE", value_parser = share)]
    denies: Vec<(String, f64)>,
    /// Activate automatic confirmation on all devices
    #[arg(long)]
    confirm_all: bool,
    /// Minimum time between two polls, in milliseconds
    #[arg(long, default_value_t = 1000)]
    poll_from: u64,
    /// Maximum time between two polls, in milliseconds
    #[arg(long, default_value_t = 3000)]
    poll_to: u64,
    /// Duration of one installation step, in milliseconds
    #[arg(long, default_value_t = 500)]
    step: u64,
    /// Maximum number of concurrent connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Gateway token, for servers that require authentication
    #[arg(long, env = "TIDEGATE_GATEWAY_TOKEN", hide_env_values = true)]
    gateway_token: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = Fleet::start(Arguments::parse().options()).context("start the fleet")?;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            ended = &mut interrupted => {
                ended.context("listen for SIGINT")?;
                fleet.stop().await;
                return Ok(());
            }
            () = tokio::time::sleep(Duration::from_secs(2)) => show(&fleet),
        }
    }
}

impl Arguments {
    fn options(self) -> FleetOptions {
        let mut profiles = Profiles::default();
        for (version, share) in self.fails {
            profiles = profiles.with(&version, |profile| profile.fails = share);
        }
        for (version, share) in self.slow {
            profiles = profiles.with(&version, |profile| profile.slow = share);
        }
        for (version, share) in self.silent {
            profiles = profiles.with(&version, |profile| profile.silent = share);
        }
        for (version, share) in self.rejects_cancel {
            profiles = profiles.with(&version, |profile| profile.rejects_cancel = share);
        }
        for (version, share) in self.denies {
            profiles = profiles.with(&version, |profile| profile.denies = share);
        }
        let defaults = FleetOptions::new(self.url, self.devices);
        let mut attributes = defaults.attributes.clone();
        attributes.extend(self.attributes);
        FleetOptions {
            tenant: self.tenant,
            prefix: self.prefix,
            seed: self.seed,
            version: self.initial_version,
            attributes,
            pace: Pace {
                poll: (
                    Duration::from_millis(self.poll_from),
                    Duration::from_millis(self.poll_to),
                ),
                step: Duration::from_millis(self.step),
            },
            connections: self.connections,
            credentials: self
                .gateway_token
                .map_or(Credentials::Anonymous, Credentials::Gateway),
            profiles,
            auto_confirm: self.confirm_all,
            ..defaults
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a command line program prints to its terminal"
)]
fn show(fleet: &Fleet) {
    let records = fleet.records();
    let count = |condition: fn(&DeviceRecord) -> bool| {
        records.iter().filter(|record| condition(record)).count()
    };
    let versions: Vec<String> = fleet
        .versions()
        .iter()
        .map(|(version, devices)| format!("{devices} on {version}"))
        .collect();
    println!(
        "{}; {} working, {} silent, {} polls, {} errors{}",
        versions.join(", "),
        count(|record| record.working_on.is_some()),
        count(|record| record.silent),
        records.iter().map(|record| record.polls).sum::<u64>(),
        records.iter().map(|record| record.errors).sum::<u64>(),
        records
            .iter()
            .find_map(|record| record.last_error.as_ref())
            .map(|error| format!(" such as: {error}"))
            .unwrap_or_default(),
    );
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn share(text: &str) -> Result<(String, f64), String> {
    let (version, share) = pair(text)?;
    let share: f64 = share.parse().map_err(|error| format!("{share}: {error}"))?;
    if (0.0..=1.0).contains(&share) {
        return Ok((version, share));
    }
    Err(format!("expected a share between 0 and 1, not {share}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn shares_belong_to_versions() {
        assert_eq!(share("1.2.0=0.3"), Ok(("1.2.0".to_owned(), 0.3)));
        for bad in ["1.2.0", "1.2.0=", "1.2.0=1.1", "1.2.0=-1", "1.2.0=NaN"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
