use async_trait::async_trait;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{Description, PluginKind},
    time::Timestamp,
};

use super::StoreError;

/// Plugins and their revisions.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// Stores a verified revision, enabled. The same one again changes nothing. A plugin keeps its kind: another kind
    /// under the same name is a conflict. A revision that comes with the host stays the latest only until a newer one
    /// of either sort comes.
    async fn put_revision(&self, tenant: TenantId, revision: NewRevision)
    -> Result<(), StoreError>;

    /// All revisions, ordered by plugin name, newest first.
    async fn revisions(&self, tenant: TenantId) -> Result<Vec<Revision>, StoreError>;

    /// One revision of a plugin; without a digest its newest enabled one.
    async fn revision(
        &self,
        tenant: TenantId,
        plugin: &str,
        digest: Option<Digest>,
    ) -> Result<Option<Revision>, StoreError>;

    /// Lets a revision start new campaigns, or not. False: there is none.
    async fn enable_revision(
        &self,
        tenant: TenantId,
        plugin: &str,
        digest: Digest,
        enabled: bool,
    ) -> Result<bool, StoreError>;

    /// Adds up what calls cost.
    async fn record_plugin_usage(
        &self,
        tenant: TenantId,
        usage: Vec<(Digest, Usage)>,
    ) -> Result<(), StoreError>;
}

/// A revision to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevision {
    /// sha256 of its bytes, which the artifact store keeps.
    pub digest: Digest,
    /// The world that it exports.
    pub kind: PluginKind,
    /// The contract version that it was built for.
    pub contract: String,
    /// What it says of itself; `description.name` is the plugin's name.
    pub description: Description,
    /// Bytes of the component.
    pub size: u64,
    /// Who uploaded it; `tidegate` for those that come with the host.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A revision that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// As it was stored.
    pub stored: NewRevision,
    /// Whether it may start new campaigns.
    pub enabled: bool,
    /// What its calls have cost.
    pub usage: Usage,
}

/// What calls of a revision cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the counters' names")]
pub struct Usage {
    pub calls: u64,
    pub failures: u64,
    pub fuel: u64,
}
