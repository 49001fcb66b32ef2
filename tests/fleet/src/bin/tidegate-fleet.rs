//! A fleet of simulated devices, from the command line.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tidegate_fleet::{Credentials, DeviceRecord, Fleet, FleetOptions, Pace, Profiles};

/// Simulates devices that speak DDI, until it is interrupted.
#[derive(Debug, Parser)]
#[command(name = "tidegate-fleet", version)]
struct Arguments {
    /// The server
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Whose devices they are
    #[arg(long, default_value = "DEFAULT")]
    tenant: String,
    /// How many
    #[arg(long, default_value_t = 100)]
    devices: usize,
    /// What their ids begin with
    #[arg(long, default_value = "box-")]
    prefix: String,
    /// The same seed, the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What they run at first
    #[arg(long, default_value = "1.0.0")]
    initial_version: String,
    /// An attribute that they report; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// Share of devices on which a version fails to install; may be given several times
    #[arg(long = "fail", value_name = "VERSION=SHARE", value_parser = share)]
    fails: Vec<(String, f64)>,
    /// Share of devices on which a version installs slowly
    #[arg(long = "slow", value_name = "VERSION=SHARE", value_parser = share)]
    slow: Vec<(String, f64)>,
    /// Share of devices that drop off while they install a version
    #[arg(long = "silent", value_name = "VERSION=SHARE", value_parser = share)]
    silent: Vec<(String, f64)>,
    /// Share of devices that refuse to be called back from a version
    #[arg(long = "reject-cancel", value_name = "VERSION=SHARE", value_parser = share)]
    rejects_cancel: Vec<(String, f64)>,
    /// Share of devices whose people say no to a version, where they are asked
    #[arg(long = "deny", value_name = "VERSION=SHARE", value_parser = share)]
    denies: Vec<(String, f64)>,
    /// Their people agree to all updates beforehand
    #[arg(long)]
    confirm_all: bool,
    /// Shortest time between two polls, in milliseconds
    #[arg(long, default_value_t = 1000)]
    poll_from: u64,
    /// Longest time between two polls, in milliseconds
    #[arg(long, default_value_t = 3000)]
    poll_to: u64,
    /// Time for a step of an install, in milliseconds
    #[arg(long, default_value_t = 500)]
    step: u64,
    /// Most connections at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// A gateway's token, for servers that want one
    #[arg(long, env = "TIDEGATE_GATEWAY_TOKEN", hide_env_values = true)]
    gateway_token: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = Fleet::start(Arguments::parse().options()).context("switch the fleet on")?;
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
    reason = "a command line talks to whoever typed it"
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
    let (name, value) = text.split_once('=').ok_or("there is no `=` in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn share(text: &str) -> Result<(String, f64), String> {
    let (version, share) = pair(text)?;
    let share: f64 = share.parse().map_err(|error| format!("{share}: {error}"))?;
    if (0.0..=1.0).contains(&share) {
        return Ok((version, share));
    }
    Err(format!("a share is between 0 and 1, and {share} is not"))
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
