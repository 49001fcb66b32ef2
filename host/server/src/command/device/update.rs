use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};
use tidegate_core::{Named as _, campaign::Priority};

use crate::{
    client::{RestClient, segment},
    command::{enum_value, show, update_log, update_options::UpdateFlags, update_view},
};

/// Offer a firmware to a device.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id of the device
    id: String,
    /// Id of the firmware
    #[arg(long)]
    firmware: i64,
    /// Priority
    #[arg(long, value_parser = enum_value::<Priority>())]
    priority: Option<Priority>,
    /// Ignore compatibility policies and a pin, and install even if the firmware is installed
    #[arg(long)]
    force: bool,
    /// Allow beta firmware
    #[arg(long)]
    allow_beta: bool,
    #[command(flatten)]
    options: UpdateFlags,
}

impl Update {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let mut body = Map::from_iter([
            ("firmware_id".to_owned(), json!(self.firmware)),
            ("force".to_owned(), json!(self.force)),
            ("allow_beta".to_owned(), json!(self.allow_beta)),
        ]);
        if let Some(priority) = self.priority {
            body.insert("priority".to_owned(), json!(priority.as_str()));
        }
        self.options.set(&mut body);
        let path = format!("devices/{}/update", segment(&self.id));
        let created = rest.post(&path, &Value::Object(body)).await?;
        show(rest, &created, update_view::details);
        Ok(())
    }
}

/// Roll a device back to its previous firmware.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Id of the device
    id: String,
    /// Version that the device had, or that exists for its model; by default the one before its last update
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Ignore the hardware policy and a pin, and install even if the firmware is installed
    #[arg(long)]
    force: bool,
    /// Reason
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
        let created = rest.post(&path, &body).await?;
        show(rest, &created, update_view::details);
        Ok(())
    }
}

/// Show a device's log of its current update.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// Id of the device
    id: String,
    /// Follow the log, across updates
    #[arg(long, short)]
    follow: bool,
    /// Number of newest lines to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

impl Log {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("devices/{}/log", segment(&self.id));
        if self.follow {
            return update_log::follow(rest, &path, update_log::FollowEnd::Stopped).await;
        }
        let query = [("limit", self.limit.to_string())];
        let log = rest.get(&path, &query).await?;
        show(rest, &log, update_log::lines);
        Ok(())
    }
}
