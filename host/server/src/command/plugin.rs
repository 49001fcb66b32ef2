use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_core::plugin::PluginName;

use super::{listing, show};
use crate::client::{Remote, RestClient, Upload as FileUpload, table};

#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List plugins
    List,
    /// Show a plugin
    Show {
        /// Name of the plugin, `VENDOR/NAME`; without a vendor it is a built-in one
        name: PluginName,
    },
    /// Upload a component
    Upload {
        /// Component file, `.wasm`
        file: PathBuf,
    },
    /// Validate a config against a plugin
    Validate {
        /// Name of the plugin, `VENDOR/NAME`; without a vendor it is a built-in one
        name: PluginName,
        /// Config, JSON; `@FILE` reads it from a file
        config: String,
    },
}

impl Plugin {
    pub(super) async fn run(self) -> Result<()> {
        let rest = RestClient::new(self.remote)?;
        match self.command {
            Command::List => {
                let answer = rest.get("plugins", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &COLUMNS));
            }
            Command::Show { name } => {
                let answer = rest.get(&format!("plugins/{name}"), &[]).await?;
                show(&rest, &answer, revisions);
            }
            Command::Upload { file } => {
                let upload = FileUpload::new().file("component", &file).await?;
                let answer = rest.upload("plugins", upload).await?;
                show(&rest, &answer, |answer| table::details(answer, &REVISION));
            }
            Command::Validate { name, config } => {
                let body = json!({ "config": json_argument(&config)? });
                let answer = rest
                    .post(&format!("plugins/{name}/validate"), &body)
                    .await?;
                show(&rest, &answer, errors);
                if answer["errors"]
                    .as_array()
                    .is_some_and(|errors| !errors.is_empty())
                {
                    bail!("the config is invalid");
                }
            }
        }
        Ok(())
    }
}

/// All revisions of a plugin, newest first.
fn revisions(plugin: &Value) -> String {
    let revisions = plugin["revisions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let blocks: Vec<String> = revisions
        .iter()
        .map(|revision| table::details(revision, &REVISION))
        .collect();
    blocks.join("\n\n")
}

/// Parses JSON from the command line, or from the file that `@FILE` names.
pub(super) fn json_argument(text: &str) -> Result<Value> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("read {file}"))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&read).with_context(|| format!("`{text}` is not JSON"))
}

fn errors(answer: &Value) -> String {
    let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
    if errors.is_empty() {
        return "the config is valid".to_owned();
    }
    table::list(errors, &[("FIELD", "/field"), ("MESSAGE", "/message")])
}

const COLUMNS: [table::Column<'_>; 7] = [
    ("NAME", "/name"),
    ("KIND", "/kind"),
    ("VERSION", "/revisions/0/version"),
    ("ORIGIN", "/revisions/0/origin"),
    ("ENABLED", "/revisions/0/enabled"),
    ("CALLS", "/revisions/0/usage/calls"),
    ("SUMMARY", "/revisions/0/summary"),
];

const REVISION: [table::Column<'_>; 12] = [
    ("plugin", "/plugin"),
    ("kind", "/kind"),
    ("version", "/version"),
    ("revision", "/revision"),
    ("origin", "/origin"),
    ("created by", "/created_by"),
    ("enabled", "/enabled"),
    ("contract", "/contract"),
    ("calls", "/usage/calls"),
    ("failures", "/usage/failures"),
    ("fuel", "/usage/fuel"),
    ("summary", "/summary"),
];
