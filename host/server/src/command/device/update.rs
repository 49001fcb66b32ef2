use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::segment;
use crate::{
    client::RestClient,
    command::{
        show,
        update::{self, Retries},
        window::Window,
    },
};

/// Offer a firmware to one device.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// The device
    id: String,
    /// The firmware's id
    #[arg(long)]
    firmware: i64,
    /// low, normal, high, critical or emergency
    #[arg(long)]
    priority: Option<String>,
    /// Go past compatibility policies and a pin, and install again what is installed
    #[arg(long)]
    force: bool,
    /// Beta firmware is meant
    #[arg(long)]
    allow_beta: bool,
    /// From offer to end, in minutes
    #[arg(long, value_name = "MINUTES")]
    timeout: Option<u64>,
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    retries: Retries,
}

impl Update {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let mut body = Map::from_iter([
            ("firmware_id".to_owned(), json!(self.firmware)),
            ("force".to_owned(), json!(self.force)),
            ("allow_beta".to_owned(), json!(self.allow_beta)),
        ]);
        if let Some(priority) = self.priority {
            body.insert("priority".to_owned(), json!(priority));
        }
        if let Some(minutes) = self.timeout {
            body.insert("timeout_minutes".to_owned(), json!(minutes));
        }
        if let window @ Value::Object(_) = self.window.body() {
            body.insert("maintenance_window".to_owned(), window);
        }
        body.extend(self.retries.fields());
        let path = format!("devices/{}/update", segment(&self.id));
        let made = rest.post(&path, &Value::Object(body)).await?;
        show(rest, &made, update::sheet);
        Ok(())
    }
}

/// Bring a device back to what it had.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The device
    id: String,
    /// A version that it had, or that exists for its model; what it had before its last update when left out
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Go past the policy about hardware and a pin, and bring again what is there
    #[arg(long)]
    force: bool,
    /// For the others
    #[arg(long, default_value = "")]
    reason: String,
}

impl Rollback {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let mut body = json!({ "reason": self.reason, "force": self.force });
        if let Some(version) = self.to {
            body["target_version"] = json!(version);
        }
        let path = format!("devices/{}/rollback", segment(&self.id));
        let made = rest.post(&path, &body).await?;
        show(rest, &made, update::sheet);
        Ok(())
    }
}

/// Show what a device wrote while it was at an update.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// The device
    id: String,
    /// Go on showing what it writes, from one update to the next
    #[arg(long, short)]
    follow: bool,
    /// How many of the newest lines to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

impl Log {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("devices/{}/log", segment(&self.id));
        if self.follow {
            return update::follow(rest, &path, update::Until::Stopped).await;
        }
        let query = [("limit", self.limit.to_string())];
        let log = rest.get(&path, &query).await?;
        show(rest, &log, update::lines);
        Ok(())
    }
}
