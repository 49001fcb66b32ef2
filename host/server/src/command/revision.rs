//! The names of revisions: `VENDOR/NAME@VERSION`, or a digest. The REST API has digests only.

use std::{fmt, str::FromStr};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tidegate_core::{id::Digest, plugin::PluginName};

use crate::client::RestClient;

/// Which revision of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RevisionSelector {
    Digest(Digest),
    /// A text that is no digest.
    Version(String),
}

impl FromStr for RevisionSelector {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            bail!("name a version, or a digest `sha256:...`");
        }
        if text.starts_with("sha256:") {
            return Ok(Self::Digest(text.parse()?));
        }
        Ok(Self::Version(text.to_owned()))
    }
}

impl RevisionSelector {
    /// The digest of this revision of a plugin. A version is looked up.
    pub(super) async fn digest(&self, rest: &RestClient, plugin: &PluginName) -> Result<Digest> {
        match self {
            Self::Digest(digest) => Ok(*digest),
            Self::Version(version) => {
                let shown = rest.get(&format!("plugins/{plugin}"), &[]).await?;
                digest_of_version(&shown, plugin, version)
            }
        }
    }
}

/// A plugin, and possibly one of its revisions: `VENDOR/NAME` or `VENDOR/NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PluginRef {
    pub(super) plugin: PluginName,
    pub(super) revision: Option<RevisionSelector>,
}

impl FromStr for PluginRef {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (plugin, revision) = split(text)?;
        Ok(Self {
            plugin: plugin.parse()?,
            revision,
        })
    }
}

/// The parts of `NAME` or `NAME@REVISION`.
pub(super) fn split(text: &str) -> Result<(&str, Option<RevisionSelector>)> {
    Ok(match text.split_once('@') {
        Some((plugin, revision)) => (plugin, Some(revision.parse()?)),
        None => (text, None),
    })
}

/// A revision of whatever plugin: `sha256:...` or `VENDOR/NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnyRevision {
    Digest(Digest),
    OfPlugin(PluginName, RevisionSelector),
}

impl FromStr for AnyRevision {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with("sha256:") {
            return Ok(Self::Digest(text.parse()?));
        }
        match text.parse()? {
            PluginRef {
                plugin,
                revision: Some(revision),
            } => Ok(Self::OfPlugin(plugin, revision)),
            PluginRef { plugin, .. } => {
                bail!("name a revision of the plugin: `{plugin}@VERSION` or `sha256:...`")
            }
        }
    }
}

impl AnyRevision {
    pub(super) async fn digest(&self, rest: &RestClient) -> Result<Digest> {
        match self {
            Self::Digest(digest) => Ok(*digest),
            Self::OfPlugin(plugin, revision) => revision.digest(rest, plugin).await,
        }
    }
}

/// The digest of the only revision with this version. `shown`: the plugin, as the server shows it.
fn digest_of_version(shown: &Value, plugin: &PluginName, version: &str) -> Result<Digest> {
    let revisions = shown["revisions"].as_array().map_or(&[][..], Vec::as_slice);
    let text =
        |revision: &Value, name: &str| revision[name].as_str().unwrap_or_default().to_owned();
    let with_version = revisions.iter().filter(|it| it["version"] == version);
    match &with_version.collect::<Vec<_>>()[..] {
        [revision] => Ok(text(revision, "revision").parse()?),
        [] => Err(anyhow!(
            "{plugin} has no version {version}{}",
            listed(
                revisions
                    .iter()
                    .map(|it| (text(it, "version"), text(it, "state")))
            )
        )),
        several => Err(anyhow!(
            "{plugin} has several revisions of version {version}: name one by its digest{}",
            listed(
                several
                    .iter()
                    .map(|it| (text(it, "revision"), text(it, "state")))
            )
        )),
    }
}

/// A list with the states of its items.
fn listed(items: impl Iterator<Item = (String, String)>) -> impl fmt::Display {
    let items: Vec<_> = items
        .map(|(name, state)| format!("{name} ({state})"))
        .collect();
    format!("; there is {}", items.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(build: &str) -> Digest {
        Digest::of(build.as_bytes())
    }

    #[test]
    fn a_revision_is_named_by_its_version_or_its_digest() -> Result<()> {
        let plugin: PluginName = "acme/rings".parse()?;
        let of_version = RevisionSelector::Version("1.2.0-rc.1+x".to_owned());
        let by_version: PluginRef = "acme/rings@1.2.0-rc.1+x".parse()?;
        assert_eq!(by_version.plugin, plugin);
        assert_eq!(by_version.revision, Some(of_version.clone()));
        let text = format!("acme/rings@{}", digest("a"));
        let of_digest = RevisionSelector::Digest(digest("a"));
        assert_eq!(text.parse::<PluginRef>()?.revision, Some(of_digest.clone()));
        assert_eq!("acme/rings".parse::<PluginRef>()?.revision, None);

        let bare = digest("a").to_string().parse::<AnyRevision>()?;
        assert_eq!(bare, AnyRevision::Digest(digest("a")));
        let named = text.parse::<AnyRevision>()?;
        assert_eq!(named, AnyRevision::OfPlugin(plugin.clone(), of_digest));
        let named = "acme/rings@1.2.0-rc.1+x".parse::<AnyRevision>()?;
        assert_eq!(named, AnyRevision::OfPlugin(plugin, of_version));
        for wrong in [
            "",
            "acme/rings",
            "acme/rings@",
            "acme/@1.0.0",
            "sha256:1",
            "acme/a@sha256:x",
        ] {
            assert!(wrong.parse::<AnyRevision>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn the_error_lists_what_there_is() -> Result<()> {
        let plugin: PluginName = "acme/rings".parse()?;
        let revision = |build: &str, version: &str, state: &str| json!({"revision": digest(build).to_string(), "version": version, "state": state});
        let shown = json!({"revisions": [
            revision("c", "1.1.0", "candidate"), revision("b", "1.0.0", "enabled"), revision("a", "1.0.0", "disabled"),
        ]});
        assert_eq!(digest_of_version(&shown, &plugin, "1.1.0")?, digest("c"));
        let error = |version: &str| {
            let found = digest_of_version(&shown, &plugin, version);
            found.expect_err("an error").to_string()
        };
        let all = "acme/rings has no version 1.2.0; there is 1.1.0 (candidate), 1.0.0 (enabled), 1.0.0 (disabled)";
        assert_eq!(error("1.2.0"), all);
        let both = format!("{} (enabled), {} (disabled)", digest("b"), digest("a"));
        assert!(error("1.0.0").ends_with(&both), "{}", error("1.0.0"));
        Ok(())
    }
}
