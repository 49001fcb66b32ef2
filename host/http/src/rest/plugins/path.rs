use serde::Deserialize;
use tidegate_core::{id::Digest, plugin::PluginName};

use crate::{problem::Result, rest::extract::parse_id};

/// The parameters of the path of a plugin.
#[derive(Debug, Deserialize)]
pub(super) struct PluginPath {
    vendor: String,
    name: String,
}

/// The parameters of the path of a revision.
#[derive(Debug, Deserialize)]
pub(super) struct RevisionPath {
    vendor: String,
    name: String,
    revision: String,
}

impl PluginPath {
    pub(super) fn parse(&self) -> Result<PluginName> {
        parse_name(&self.vendor, &self.name)
    }
}

impl RevisionPath {
    pub(super) fn parse(&self) -> Result<(PluginName, Digest)> {
        let name = parse_name(&self.vendor, &self.name)?;
        Ok((name, parse_id("plugin revision", &self.revision)?))
    }
}

fn parse_name(vendor: &str, name: &str) -> Result<PluginName> {
    parse_id("plugin", &format!("{vendor}/{name}"))
}
