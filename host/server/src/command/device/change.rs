use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};
use tidegate_core::{Named as _, mode::DeviceMode};

use super::details;
use crate::{
    client::{RestClient, segment},
    command::{enum_value, print, show},
};

/// A device that has not been seen yet.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Id that the device uses: 1 to 256 characters, no white space
    id: String,
    /// Name; the id by default
    #[arg(long)]
    name: Option<String>,
    /// Group of the device; repeatable
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Feed that the device follows
    #[arg(long)]
    feed: Option<String>,
    /// Label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Attribute until the device reports its own; repeatable
    #[arg(long = "attribute", value_name = "KEY=VALUE")]
    attributes: Vec<String>,
    /// Mode
    #[arg(long, value_parser = enum_value::<DeviceMode>())]
    mode: Option<DeviceMode>,
    /// Pin the device: it gets no new updates
    #[arg(long)]
    pin: bool,
    /// Polling interval, instead of the tenant's
    #[arg(long, value_name = "HH:MM:SS")]
    polling_interval: Option<String>,
    /// Token, instead of a new one: 16 to 128 letters, digits and `-._~+/=`; for administrators
    #[arg(long)]
    token: Option<String>,
}

/// Changes of a device; other fields stay as they are.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true)))]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(super) struct Set {
    /// Id of the device
    id: String,
    /// Name
    #[arg(long, group = "change")]
    name: Option<String>,
    /// Group of the device, replacing its groups; repeatable
    #[arg(long = "group", value_name = "NAME", group = "change")]
    groups: Vec<String>,
    /// Remove the device from all groups
    #[arg(long, conflicts_with = "groups", group = "change")]
    no_groups: bool,
    /// Feed that the device follows
    #[arg(long, group = "change")]
    feed: Option<String>,
    /// Follow no feed
    #[arg(long, conflicts_with = "feed", group = "change")]
    no_feed: bool,
    /// Set a label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", group = "change")]
    labels: Vec<String>,
    /// Remove a label; repeatable
    #[arg(long = "no-label", value_name = "KEY", group = "change")]
    no_labels: Vec<String>,
    /// Mode
    #[arg(long, group = "change", value_parser = enum_value::<DeviceMode>())]
    mode: Option<DeviceMode>,
    /// Pin the device: it gets no new updates; an open one continues
    #[arg(long, group = "change")]
    pin: bool,
    /// Unpin the device
    #[arg(long, conflicts_with = "pin", group = "change")]
    unpin: bool,
    /// Polling interval, instead of the tenant's
    #[arg(long, value_name = "HH:MM:SS", group = "change")]
    polling_interval: Option<String>,
    /// Use the tenant's polling interval
    #[arg(long, conflicts_with = "polling_interval", group = "change")]
    no_polling_interval: bool,
    /// Request the device's attributes with each poll until it reports them
    #[arg(long, group = "change")]
    request_attributes: bool,
}

impl Create {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let answer = rest.post("devices", &self.body()?).await?;
        show(rest, &answer, |answer| {
            let token = answer["token"].as_str().unwrap_or_default();
            format!(
                "{}\n\nToken (shown only once): {token}",
                details(&answer["device"])
            )
        });
        Ok(())
    }

    fn body(self) -> Result<Value> {
        let mut body = json!({
            "device_id": self.id, "groups": self.groups, "pinned": self.pin,
            "labels": pairs(&self.labels)?, "attributes": pairs(&self.attributes)?,
        });
        for (field, value) in [
            ("name", self.name),
            ("feed", self.feed),
            ("mode", self.mode.map(|mode| mode.as_str().to_owned())),
            ("polling_interval", self.polling_interval),
            ("token", self.token),
        ] {
            if let Some(value) = value {
                body[field] = value.into();
            }
        }
        Ok(body)
    }
}

impl Set {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let path = format!("devices/{}", segment(&self.id));
        let answer = rest.patch(&path, &self.patch()?).await?;
        show(rest, &answer, details);
        Ok(())
    }

    /// The changes as a merge patch.
    fn patch(self) -> Result<Value> {
        let mut patch = Map::new();
        let mut set = |field: &str, value: Option<Value>| {
            patch.extend(value.map(|value| (field.to_owned(), value)));
        };
        set("name", self.name.map(Value::from));
        set("mode", self.mode.map(|mode| mode.as_str().into()));
        set("feed", self.feed.map(Value::from));
        set("feed", self.no_feed.then_some(Value::Null));
        set("polling_interval", self.polling_interval.map(Value::from));
        set(
            "polling_interval",
            self.no_polling_interval.then_some(Value::Null),
        );
        set(
            "request_attributes",
            self.request_attributes.then_some(json!(true)),
        );
        let groups = !self.groups.is_empty() || self.no_groups;
        set("groups", groups.then(|| json!(self.groups)));
        set(
            "pinned",
            (self.pin || self.unpin).then_some(json!(self.pin)),
        );
        let mut labels = pairs(&self.labels)?;
        labels.extend(self.no_labels.into_iter().map(|key| (key, Value::Null)));
        set(
            "labels",
            (!labels.is_empty()).then_some(Value::Object(labels)),
        );
        Ok(Value::Object(patch))
    }
}

pub(super) async fn delete(rest: &RestClient, id: &str) -> Result<()> {
    rest.delete(&format!("devices/{}", segment(id))).await?;
    if !rest.wants_json() {
        print(format_args!("{id} is deleted"));
    }
    Ok(())
}

fn pairs(texts: &[String]) -> Result<Map<String, Value>> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .with_context(|| format!("`{text}` is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.into()))
    };
    texts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        set: Set,
    }

    fn patch(line: &str) -> Result<Value> {
        let words = std::iter::once("set").chain(line.split(' '));
        Line::try_parse_from(words)?.set.patch()
    }

    #[test]
    fn only_named_fields_are_changed() -> Result<()> {
        for (line, expected) in [
            ("pi --pin", json!({"pinned": true})),
            (
                "pi --unpin --mode manual",
                json!({"pinned": false, "mode": "manual"}),
            ),
            (
                "pi --no-feed --no-groups",
                json!({"feed": null, "groups": []}),
            ),
            (
                "pi --feed beta --group a --group b",
                json!({"feed": "beta", "groups": ["a", "b"]}),
            ),
            (
                "pi --polling-interval 00:10:00",
                json!({"polling_interval": "00:10:00"}),
            ),
            (
                "pi --no-polling-interval",
                json!({"polling_interval": null}),
            ),
            (
                "pi --request-attributes",
                json!({"request_attributes": true}),
            ),
            (
                "pi --label rack=7=8 --no-label row",
                json!({"labels": {"rack": "7=8", "row": null}}),
            ),
        ] {
            assert_eq!(patch(line)?, expected, "{line}");
        }
        for line in [
            "pi",
            "pi --pin --unpin",
            "pi --feed a --no-feed",
            "pi --polling-interval 00:00:05 --no-polling-interval",
            "pi --label rack",
        ] {
            assert!(patch(line).is_err(), "{line}");
        }
        Ok(())
    }
}
