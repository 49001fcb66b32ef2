use async_trait::async_trait;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{Description, Origin, PluginKind, PluginName},
    time::Timestamp,
};

use crate::Ctx;

use super::StoreError;

/// Plugins and their revisions.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// Stores a verified revision, enabled. Idempotent. The kind of a plugin is fixed: another kind under the same name
    /// is a conflict.
    async fn put_revision(&self, ctx: &Ctx, revision: NewRevision) -> Result<(), StoreError>;

    /// All revisions, ordered by plugin name, then newest first.
    async fn revisions(&self, tenant: TenantId) -> Result<Vec<Revision>, StoreError>;

    /// One revision of a plugin; without a digest its newest enabled one.
    async fn revision(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: Option<Digest>,
    ) -> Result<Option<Revision>, StoreError>;

    /// Enables or disables a revision for new campaigns. False: it is so already, or does not exist.
    async fn enable_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
        enabled: bool,
    ) -> Result<bool, StoreError>;

    /// Adds to the usage counters of revisions.
    async fn record_plugin_usage(
        &self,
        tenant: TenantId,
        usage: Vec<(Digest, Usage)>,
    ) -> Result<(), StoreError>;
}

/// A revision to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevision {
    /// sha256 of the component, which is its key in the artifact store.
    pub digest: Digest,
    /// The world that it exports.
    pub kind: PluginKind,
    /// The contract version that it was built for.
    pub contract: String,
    /// What it reports of itself; `description.name` is the plugin's name.
    pub description: Description,
    /// Size of the component in bytes.
    pub size: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// Name of the user who uploaded it; `tidegate` for all others.
    pub created_by: String,
    /// Creation time.
    pub created_at: Timestamp,
}

/// A stored revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The revision.
    pub stored: NewRevision,
    /// Whether it may be used for new campaigns.
    pub enabled: bool,
    /// Resource usage of its calls.
    pub usage: Usage,
}

/// Resource usage of the calls of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the counters' names")]
pub struct Usage {
    pub calls: u64,
    pub failures: u64,
    pub fuel: u64,
}
