use std::io::Read as _;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value, json};
use tidegate_core::{Named as _, campaign::Priority};

use super::{step, view};
use crate::{
    client::RestClient,
    command::{
        enum_value,
        plugin::json_argument,
        revision::{self, RevisionSelector},
        show,
        update_options::UpdateFlags,
    },
};

/// Create a campaign from flags or from a file; flags take precedence.
#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    spec: SpecFlags,
    /// Start the campaign after it is created
    #[arg(long)]
    start: bool,
}

/// Change a campaign; one that has started takes only --priority and --max-concurrent-updates. A change before the start
/// voids the approval.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Id of the campaign
    id: i64,
    #[command(flatten)]
    spec: SpecFlags,
    /// Reset a field of the request body to its default, such as `description`; repeatable
    #[arg(long, value_name = "FIELD")]
    reset: Vec<String>,
}

/// The fields of a campaign.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
struct SpecFlags {
    /// Request body of the REST API, in JSON; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Name: 1 to 200 characters
    #[arg(long)]
    name: Option<String>,
    /// Description
    #[arg(long)]
    description: Option<String>,
    /// Id of the firmware
    #[arg(long, value_name = "ID")]
    firmware: Option<i64>,
    /// Target device; repeatable
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<String>,
    /// Target group; repeatable
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Target devices by selector: `hw_model==rpi4;sw_version=lt=2.0.0`
    #[arg(long, value_name = "RSQL")]
    filter: Option<String>,
    /// Target devices that follow this feed, instead of other targets; the newest campaign on a feed wins
    #[arg(long, value_name = "NAME", conflicts_with_all = ["devices", "groups", "filter"])]
    feed: Option<String>,
    /// Strategy, with its version or digest, if not the default, and its config as JSON or `@FILE`:
    /// `canary='{"canary_percentage": 5}'`, `acme/rings@1.2.0=@rings.json`
    #[arg(long, value_name = "NAME[@REVISION][=CONFIG]")]
    strategy: Option<String>,
    /// Policy, with its revision and its config; repeatable [compatibility policies by default: hardware, version-path]
    #[arg(long = "policy", value_name = "NAME[@REVISION][=CONFIG]")]
    policies: Vec<String>,
    /// Priority
    #[arg(long, value_parser = enum_value::<Priority>())]
    priority: Option<Priority>,
    /// Maximum number of devices in flight
    #[arg(long, value_name = "N")]
    max_concurrent_updates: Option<u64>,
    #[command(flatten)]
    options: UpdateFlags,
    /// Failure ceiling: share of a wave whose failure stops the campaign regardless of plugins, 1 to 100
    #[arg(long, value_name = "PERCENT")]
    failure_threshold: Option<u64>,
    /// Another user has to approve the campaign before it starts
    #[arg(long)]
    requires_approval: bool,
    /// Roll back automatically when a policy asks for it
    #[arg(long)]
    auto_rollback: bool,
    /// Allow beta firmware
    #[arg(long)]
    allow_beta: bool,
    /// Use no compatibility policy: devices get the firmware whatever their hardware and version
    #[arg(long)]
    allow_incompatible: bool,
}

impl Create {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let created = rest.post("campaigns", &self.spec.body(rest).await?).await?;
        let id = created["campaign_id"].as_i64();
        // The campaign exists even if starting it fails.
        if !(self.start && rest.wants_json()) {
            show(rest, &created, view::summary);
        }
        match id {
            Some(id) if self.start => step::take(rest, id, "start", &json!({})).await,
            _ => {
                step::print_warnings(&created);
                Ok(())
            }
        }
    }
}

impl Set {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("campaigns/{}", self.id);
        let mut body = self.spec.body(rest).await?;
        for field in self.reset {
            body[field.replace('-', "_")] = Value::Null;
        }
        let changed = rest.patch(&path, &body).await?;
        show(rest, &changed, view::summary);
        step::print_warnings(&changed);
        Ok(())
    }
}

impl SpecFlags {
    async fn body(&self, rest: &RestClient) -> Result<Value> {
        let mut body = self
            .file
            .as_deref()
            .map(read_object)
            .transpose()?
            .unwrap_or_default();
        let strategy = match &self.strategy {
            Some(text) => PluginFlag::parse(text)?.body(rest).await?,
            None => Value::Null,
        };
        let mut policies = Vec::new();
        for text in &self.policies {
            policies.push(PluginFlag::parse(text)?.body(rest).await?);
        }
        let mut set = |name: &str, value: Value| {
            if !value.is_null() && value != json!(false) && value != json!([]) {
                body.insert(name.to_owned(), value);
            }
        };
        set("name", json!(self.name));
        set("description", json!(self.description));
        set("firmware_id", json!(self.firmware));
        set("target_devices", json!(self.devices));
        set("target_groups", json!(self.groups));
        set("target_filter", json!(self.filter));
        set("target_feed", json!(self.feed));
        set("strategy", strategy);
        set("policies", json!(policies));
        set(
            "priority",
            json!(self.priority.map(|priority| priority.as_str())),
        );
        set("max_concurrent_updates", json!(self.max_concurrent_updates));
        set("failure_threshold_percent", json!(self.failure_threshold));
        set("requires_approval", json!(self.requires_approval));
        set("auto_rollback", json!(self.auto_rollback));
        set("allow_beta", json!(self.allow_beta));
        set("allow_incompatible", json!(self.allow_incompatible));
        self.options.set(&mut body);
        Ok(Value::Object(body))
    }
}

fn read_object(file: &str) -> Result<Map<String, Value>> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("read stdin")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{file} is not a JSON object"))
}

/// `NAME[@REVISION][=CONFIG]`.
#[derive(Debug, PartialEq)]
struct PluginFlag<'a> {
    plugin: &'a str,
    revision: Option<RevisionSelector>,
    config: Value,
}

impl<'a> PluginFlag<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let (plugin, config) = match text.split_once('=') {
            Some((plugin, config)) => (plugin, json_argument(config)?),
            None => (text, json!({})),
        };
        let (plugin, revision) = revision::split(plugin)?;
        Ok(Self {
            plugin,
            revision,
            config,
        })
    }

    /// The REST representation, which names a revision by its digest.
    async fn body(self, rest: &RestClient) -> Result<Value> {
        let mut body = json!({ "plugin": self.plugin, "config": self.config });
        if let Some(revision) = self.revision {
            let digest = revision.digest(rest, &self.plugin.parse()?).await?;
            body["revision"] = digest.to_string().into();
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::id::Digest;

    use super::*;

    #[test]
    fn a_plugin_argument_may_include_its_revision_and_its_config() -> Result<()> {
        let digest = Digest::of(b"build");
        let by_digest = format!(r#"acme/rings@{digest}={{"mail": "a@b"}}"#);
        let version = RevisionSelector::Version("1.2.0".to_owned());
        for (text, plugin, revision, config) in [
            ("canary", "canary", None, json!({})),
            (
                r#"failure-rate={"threshold": 20}"#,
                "failure-rate",
                None,
                json!({"threshold": 20}),
            ),
            ("acme/rings@1.2.0", "acme/rings", Some(version), json!({})),
            (
                &by_digest,
                "acme/rings",
                Some(RevisionSelector::Digest(digest)),
                json!({"mail": "a@b"}),
            ),
        ] {
            let expected = PluginFlag {
                plugin,
                revision,
                config,
            };
            assert_eq!(PluginFlag::parse(text)?, expected, "{text}");
        }
        assert!(PluginFlag::parse("canary={").is_err());
        assert!(PluginFlag::parse("canary@").is_err());
        Ok(())
    }
}
