use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::show;
use crate::client::{Remote, RestClient};

#[derive(Debug, Args)]
pub(super) struct Settings {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the tenant's settings and the server's defaults
    Show,
    /// Change settings, all in one request: `polling.interval=10m polling.jitter_percent=20`
    Set {
        /// Setting and value: a word, or JSON; `null` restores the server's default
        #[arg(required = true, value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
}

impl Settings {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        let answer = match self.command {
            Command::Show => rest.get("settings", &[]).await?,
            Command::Set { settings } => rest.patch("settings", &patch(&settings)?).await?,
        };
        show(&rest, &answer, lines);
        Ok(())
    }
}

/// The settings as a merge patch.
fn patch(settings: &[String]) -> Result<Value> {
    let mut whole = Value::Object(Map::new());
    for one in settings {
        let (path, value) = one
            .split_once('=')
            .ok_or_else(|| anyhow!("`{one}` is not SETTING=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        let mut slot = &mut whole;
        for name in path.split('.') {
            if name.is_empty() || !(slot.is_object() || slot.is_null()) {
                return Err(anyhow!("`{path}` is not a setting"));
            }
            slot = &mut slot[name];
        }
        *slot = value;
    }
    Ok(whole)
}

/// A line for each setting: the tenant's value, or the server's default.
fn lines(answer: &Value) -> String {
    let mut lines = Vec::new();
    let defaults = &answer["defaults"];
    for (name, value) in answer.as_object().into_iter().flatten() {
        if name != "defaults" {
            add_lines(name, value, &defaults[name], &mut lines);
        }
    }
    lines.join("\n")
}

fn add_lines(path: &str, value: &Value, default: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                add_lines(&format!("{path}.{name}"), value, &default[name], lines);
            }
        }
        Value::Null if !default.is_null() => {
            lines.push(format!("{path}={} (server default)", word(default)));
        }
        value => lines.push(format!("{path}={}", word(value))),
    }
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_become_one_patch() {
        let set = |settings: &[&str]| {
            let settings: Vec<_> = settings.iter().map(|&text| text.to_owned()).collect();
            patch(&settings).ok()
        };
        assert_eq!(
            set(&[
                "polling.interval=10m",
                "polling.jitter_percent=20",
                r#"polling.overrides=[{"filter": "a==b", "interval": "5s"}]"#,
                "other=null",
            ]),
            Some(json!({
                "polling": {
                    "interval": "10m",
                    "jitter_percent": 20,
                    "overrides": [{"filter": "a==b", "interval": "5s"}],
                },
                "other": null,
            }))
        );
        for bad in ["polling", "=1", "a..b=1", ".=1"] {
            assert_eq!(set(&[bad]), None, "{bad}");
        }
        assert_eq!(set(&["a=1", "a.b=2"]), None);
    }

    #[test]
    fn unset_settings_show_the_servers_default() {
        let answer = json!({
            "polling": {"interval": null, "jitter_percent": 7, "overrides": []},
            "defaults": {"polling": {"interval": "00:05:00", "jitter_percent": 0}},
        });
        assert_eq!(
            lines(&answer),
            "polling.interval=00:05:00 (server default)\npolling.jitter_percent=7\npolling.overrides=[]"
        );
    }
}
