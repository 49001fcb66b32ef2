use serde::Serialize;
use serde_json::Value;
use tidegate_core::Named as _;
use tidegate_engine::{Error, ports::Revision};
use utoipa::ToSchema;

use crate::{problem::Result, rest::response::Time};

/// A plugin and its revisions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(super) struct PluginBody {
    /// `vendor/name`, which is also its path below `/plugins`.
    name: String,
    /// `strategy`, `compatibility` or `health`.
    kind: &'static str,
    /// Newest first.
    revisions: Vec<RevisionBody>,
}

/// One build of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub(super) struct RevisionBody {
    /// `sha256:` and the digest of its bytes.
    revision: String,
    plugin: String,
    kind: &'static str,
    /// The plugin's own version.
    version: String,
    summary: String,
    /// The version of the plugin contract that it was built for.
    contract: String,
    /// The result of the validation at upload: always `verified`, because rejected revisions are not stored.
    status: &'static str,
    /// Whether new campaigns may use it.
    enabled: bool,
    /// JSON Schema (2020-12) of its config.
    config_schema: Value,
    /// Telemetry metrics that it reads.
    metrics: Vec<String>,
    /// Device attributes by which observations group devices.
    attributes: Vec<String>,
    /// In bytes.
    size: u64,
    usage: UsageBody,
    /// `built_in`: built with the server. `folder`: from the server's folder of components. `upload`.
    origin: &'static str,
    created_at: Time,
    /// Name of the user who uploaded it; `tidegate` for all others.
    created_by: String,
}

/// Total cost of its calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(super) struct UsageBody {
    calls: u64,
    failures: u64,
    fuel: u64,
}

/// Groups revisions that are ordered by plugin.
pub(super) fn group_by_plugin(revisions: Vec<Revision>) -> Result<Vec<PluginBody>> {
    let mut plugins: Vec<PluginBody> = Vec::new();
    for revision in revisions {
        let revision = RevisionBody::new(revision)?;
        match plugins
            .last_mut()
            .filter(|plugin| plugin.name == revision.plugin)
        {
            Some(plugin) => plugin.revisions.push(revision),
            None => plugins.push(PluginBody {
                name: revision.plugin.clone(),
                kind: revision.kind,
                revisions: vec![revision],
            }),
        }
    }
    Ok(plugins)
}

impl RevisionBody {
    pub(super) fn new(revision: Revision) -> Result<Self> {
        let Revision {
            stored,
            enabled,
            usage,
        } = revision;
        let description = stored.description;
        let config_schema = serde_json::from_str(&description.config_schema)
            .map_err(|error| Error::internal("read config schema", error))?;
        Ok(Self {
            revision: stored.digest.to_string(),
            plugin: description.name.to_string(),
            kind: stored.kind.as_str(),
            version: description.version,
            summary: description.summary,
            contract: stored.contract,
            status: "verified",
            enabled,
            config_schema,
            metrics: description.metrics,
            attributes: description.attributes,
            size: stored.size,
            usage: UsageBody {
                calls: usage.calls,
                failures: usage.failures,
                fuel: usage.fuel,
            },
            origin: stored.origin.as_str(),
            created_at: stored.created_at.into(),
            created_by: stored.created_by,
        })
    }
}
