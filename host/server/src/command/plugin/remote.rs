//! Commands on the plugins of a server.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_core::{id::Digest, plugin::PluginName};

use crate::{
    client::{RestClient, Upload as FileUpload, table},
    command::{
        listing, print,
        revision::{PluginRef, RevisionSelector},
        show,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    /// List the uploads that were rejected, and why
    Rejections,
    /// Allow new campaigns to use a revision
    Enable(RevisionArgs),
    /// Keep a revision only for new campaigns that name it
    Deprecate(RevisionArgs),
    /// Prevent new campaigns from using a revision; those that use it continue
    Disable(RevisionArgs),
    /// Choose the revision of campaigns that name none
    Default {
        /// Name of the plugin, with the version if no revision follows
        #[arg(value_name = "VENDOR/NAME[@VERSION]")]
        name: PluginRef,
        /// Its revision: `sha256:...`, or a version; without any the highest enabled release is used again
        revision: Option<RevisionSelector>,
    },
    /// Delete a revision that no campaign uses
    Delete(RevisionArgs),
    /// Validate a config against a plugin
    Validate {
        /// Name of the plugin, `VENDOR/NAME`; without a vendor it is a built-in one
        name: PluginName,
        /// Config, JSON; `@FILE` reads it from a file
        config: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct RevisionArgs {
    /// Name of the plugin, with the version if no revision follows; without a vendor it is a built-in one
    #[arg(value_name = "VENDOR/NAME[@VERSION]")]
    name: PluginRef,
    /// Its revision: `sha256:...`, or a version
    revision: Option<RevisionSelector>,
}

impl RevisionArgs {
    async fn find(&self, rest: &RestClient) -> Result<FoundRevision> {
        let found = find_revision(rest, &self.name, self.revision.as_ref()).await?;
        found.with_context(|| {
            let plugin = &self.name.plugin;
            format!(
                "name a revision: `{plugin}@VERSION`, or `{plugin} sha256:...`; `tidegate plugin show {plugin}` lists them"
            )
        })
    }
}

/// A revision that exists, if it was named by its version.
struct FoundRevision {
    plugin: PluginName,
    digest: Digest,
}

impl FoundRevision {
    fn path(&self) -> String {
        format!("plugins/{}/revisions/{}", self.plugin, self.digest)
    }
}

/// The revision that is named in one argument or in two. `None`: in neither.
async fn find_revision(
    rest: &RestClient,
    name: &PluginRef,
    revision: Option<&RevisionSelector>,
) -> Result<Option<FoundRevision>> {
    let plugin = name.plugin.clone();
    let revision = match (&name.revision, revision) {
        (Some(_), Some(_)) => bail!("name one revision, either behind the `@` or after it"),
        (Some(revision), None) | (None, Some(revision)) => revision,
        (None, None) => return Ok(None),
    };
    let digest = revision.digest(rest, &plugin).await?;
    Ok(Some(FoundRevision { plugin, digest }))
}

impl Command {
    pub(super) async fn run(self, rest: RestClient) -> Result<()> {
        match self {
            Self::List => {
                let answer = rest.get("plugins", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &COLUMNS));
            }
            Self::Show { name } => {
                let answer = rest.get(&format!("plugins/{name}"), &[]).await?;
                show(&rest, &answer, revisions);
            }
            Self::Upload { file } => {
                let upload = FileUpload::new().file("component", &file).await?;
                let answer = rest.upload("plugins", upload).await?;
                show(&rest, &answer, |answer| table::details(answer, &REVISION));
            }
            Self::Rejections => {
                let answer = rest.get("plugin-rejections", &[]).await?;
                show(&rest, &answer, |answer| listing(answer, &REJECTION));
            }
            Self::Enable(args) => change_state(&rest, &args, "enable").await?,
            Self::Deprecate(args) => change_state(&rest, &args, "deprecate").await?,
            Self::Disable(args) => change_state(&rest, &args, "disable").await?,
            Self::Default { name, revision } => {
                let plugin = &name.plugin;
                if let Some(found) = find_revision(&rest, &name, revision.as_ref()).await? {
                    let path = format!("{}/default", found.path());
                    rest.post(&path, &json!({})).await?;
                } else {
                    rest.delete(&format!("plugins/{plugin}/default")).await?;
                }
                let answer = rest.get(&format!("plugins/{plugin}"), &[]).await?;
                show(&rest, &answer, |answer| table::details(answer, &DEFAULT));
            }
            Self::Delete(args) => {
                let found = args.find(&rest).await?;
                rest.delete(&found.path()).await?;
                print(format_args!("revision {} is deleted", found.digest));
            }
            Self::Validate { name, config } => {
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

async fn change_state(rest: &RestClient, args: &RevisionArgs, step: &str) -> Result<()> {
    let path = format!("{}/{step}", args.find(rest).await?.path());
    let answer = rest.post(&path, &json!({})).await?;
    show(rest, &answer, |answer| table::details(answer, &REVISION));
    Ok(())
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
pub(in crate::command) fn json_argument(text: &str) -> Result<Value> {
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

const COLUMNS: [table::Column<'_>; 8] = [
    ("NAME", "/name"),
    ("KIND", "/kind"),
    ("VERSION", "/revisions/0/version"),
    ("ORIGIN", "/revisions/0/origin"),
    ("STATE", "/revisions/0/state"),
    ("DEFAULT", "/default_revision"),
    ("CALLS", "/revisions/0/usage/calls"),
    ("SUMMARY", "/revisions/0/summary"),
];

const REJECTION: [table::Column<'_>; 4] = [
    ("REVISION", "/revision"),
    ("AT", "/rejected_at"),
    ("BY", "/uploaded_by"),
    ("REASON", "/reason"),
];

const DEFAULT: [table::Column<'_>; 2] = [("plugin", "/name"), ("default", "/default_revision")];

const REVISION: [table::Column<'_>; 15] = [
    ("plugin", "/plugin"),
    ("kind", "/kind"),
    ("version", "/version"),
    ("revision", "/revision"),
    ("origin", "/origin"),
    ("created by", "/created_by"),
    ("state", "/state"),
    ("chosen default", "/is_chosen_default"),
    ("campaigns", "/campaigns"),
    ("contract", "/contract"),
    ("calls", "/usage/calls"),
    ("failures", "/usage/failures"),
    ("fuel", "/usage/fuel"),
    ("peak memory", "/usage/peak_memory"),
    ("summary", "/summary"),
];
