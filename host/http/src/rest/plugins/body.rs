use serde::Serialize;
use serde_json::Value;
use tidegate_core::{Named as _, plugin::PluginName};
use tidegate_engine::{BuiltIns, Error, plugins, ports::Revision};
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
    /// The revision that a campaign uses if it names none: the one that an administrator chose, or the highest release
    /// among the enabled ones; of a built-in plugin the one that was built with the server. Null: none of these is
    /// enabled, and a campaign has to name a revision.
    default_revision: Option<String>,
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
    /// The version of the plugin contract that it was built for. One that is not among `plugin_contracts` of `/version`
    /// cannot be run by this server.
    contract: String,
    /// `candidate`: uploaded, and not enabled yet. `enabled`: new campaigns may use it. `deprecated`: they have to name
    /// it. `disabled`: they cannot use it.
    state: &'static str,
    /// Whether an administrator chose it as the default.
    is_chosen_default: bool,
    /// Number of campaigns that use it, ended ones too. It can be deleted if there are none, and none has moved away from it.
    campaigns: u64,
    /// JSON Schema (2020-12) of its config.
    config_schema: Value,
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
    /// In bytes: the maximum of all calls.
    peak_memory: u64,
}

/// Groups revisions that are ordered by plugin, newest first.
pub(super) fn group_by_plugin(
    built_ins: &BuiltIns,
    revisions: &[Revision],
) -> Result<Vec<PluginBody>> {
    let plugins = revisions.chunk_by(|one, other| name_of(one) == name_of(other));
    let plugins = plugins.map(|revisions| PluginBody::new(built_ins, revisions));
    plugins.collect()
}

fn name_of(revision: &Revision) -> &PluginName {
    &revision.stored.description.name
}

impl PluginBody {
    /// A plugin with all its revisions, newest first; at least one.
    pub(super) fn new(built_ins: &BuiltIns, revisions: &[Revision]) -> Result<Self> {
        let newest = &revisions[0];
        let name = name_of(newest);
        let default = plugins::default_of(built_ins, name, revisions);
        let bodies = revisions.iter().cloned().map(RevisionBody::new);
        Ok(Self {
            name: name.to_string(),
            kind: newest.stored.kind.as_str(),
            default_revision: default.map(|revision| revision.stored.digest.to_string()),
            revisions: bodies.collect::<Result<_>>()?,
        })
    }
}

impl RevisionBody {
    pub(super) fn new(revision: Revision) -> Result<Self> {
        let Revision {
            stored,
            state,
            is_chosen_default,
            campaigns,
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
            state: state.as_str(),
            is_chosen_default,
            campaigns,
            config_schema,
            size: stored.size,
            usage: UsageBody {
                calls: usage.calls,
                failures: usage.failures,
                fuel: usage.fuel,
                peak_memory: usage.peak_memory,
            },
            origin: stored.origin.as_str(),
            created_at: stored.created_at.into(),
            created_by: stored.created_by,
        })
    }
}
