use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::{segment, sheet};
use crate::{
    client::RestClient,
    command::{print, show},
};

/// A device before it is first seen.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// What it calls itself: 1 to 256 characters, no white space
    id: String,
    /// For people; the id when left out
    #[arg(long)]
    name: Option<String>,
    /// A group that it is in; may be given several times
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// The feed that it follows
    #[arg(long)]
    feed: Option<String>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// What is known of it before it reports; may be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE")]
    attributes: Vec<String>,
    /// rollout, latest or manual
    #[arg(long)]
    mode: Option<String>,
    /// Nothing new goes to it
    #[arg(long)]
    pin: bool,
    /// How often it is to poll, instead of what the tenant says
    #[arg(long, value_name = "HH:MM:SS")]
    polling_interval: Option<String>,
}

/// What to change of a device; what is not named stays as it is.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true)))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Set {
    /// Its id
    id: String,
    /// For people
    #[arg(long, group = "change")]
    name: Option<String>,
    /// A group that it is in, instead of those that it was in; may be given several times
    #[arg(long = "group", value_name = "NAME", group = "change")]
    groups: Vec<String>,
    /// Take it out of all groups
    #[arg(long, conflicts_with = "groups", group = "change")]
    no_groups: bool,
    /// The feed that it follows
    #[arg(long, group = "change")]
    feed: Option<String>,
    /// Let it follow no feed
    #[arg(long, conflicts_with = "feed", group = "change")]
    no_feed: bool,
    /// Set a label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", group = "change")]
    labels: Vec<String>,
    /// Remove a label; may be given several times
    #[arg(long = "no-label", value_name = "KEY", group = "change")]
    no_labels: Vec<String>,
    /// rollout, latest or manual
    #[arg(long, group = "change")]
    mode: Option<String>,
    /// Let nothing new go to it; what it has open it may finish
    #[arg(long, group = "change")]
    pin: bool,
    /// Let it be updated again
    #[arg(long, conflicts_with = "pin", group = "change")]
    unpin: bool,
    /// How often it is to poll, instead of what the tenant says
    #[arg(long, value_name = "HH:MM:SS", group = "change")]
    polling_interval: Option<String>,
    /// Let it poll as the tenant says
    #[arg(long, conflicts_with = "polling_interval", group = "change")]
    no_polling_interval: bool,
    /// Ask it for its attributes, from its next poll until it reports them
    #[arg(long, group = "change")]
    request_attributes: bool,
}

impl Create {
    pub(super) async fn run(self, rest: &RestClient) -> Result<()> {
        let answer = rest.post("devices", &self.body()?).await?;
        show(rest, &answer, |answer| {
            let token = answer["token"].as_str().unwrap_or_default();
            format!(
                "{}\n\nIts token, which is shown this once: {token}",
                sheet(&answer["device"])
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
            ("mode", self.mode),
            ("polling_interval", self.polling_interval),
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
        show(rest, &answer, sheet);
        Ok(())
    }

    /// A merge patch.
    fn patch(self) -> Result<Value> {
        let mut patch = Map::new();
        let mut set = |field: &str, value: Option<Value>| {
            patch.extend(value.map(|value| (field.to_owned(), value)));
        };
        set("name", self.name.map(Value::from));
        set("mode", self.mode.map(Value::from));
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

/// Deletes a device.
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
            .with_context(|| format!("{text} is not KEY=VALUE"))?;
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
