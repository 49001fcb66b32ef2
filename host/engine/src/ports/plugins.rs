use async_trait::async_trait;
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::{Description, Origin, PluginKind, PluginName, RevisionState},
    time::Timestamp,
};

use crate::Ctx;

use super::{Page, PageRequest, StoreError};

/// Plugins and their revisions.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// Stores a verified revision with the first state of its origin. A candidate that comes from another origin as an
    /// enabled revision becomes enabled; otherwise one that exists does not change.
    async fn put_revision(&self, ctx: &Ctx, revision: NewRevision) -> Result<(), PutRevisionError>;

    /// Records that an upload was rejected: its digest and the reason are all that stays.
    async fn record_rejection(
        &self,
        ctx: &Ctx,
        digest: Digest,
        reason: &str,
    ) -> Result<(), StoreError>;

    /// A page of the rejected uploads, newest first.
    async fn list_rejections(
        &self,
        tenant: TenantId,
        page: PageRequest,
    ) -> Result<Page<RejectedUpload>, StoreError>;

    /// All revisions, ordered by plugin name, then newest first.
    async fn revisions(&self, tenant: TenantId) -> Result<Vec<Revision>, StoreError>;

    /// The revisions of one plugin, newest first.
    async fn revisions_of(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Vec<Revision>, StoreError>;

    /// One revision of a plugin.
    async fn revision(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: Digest,
    ) -> Result<Option<Revision>, StoreError>;

    /// Changes the state of a revision. False: it is so already, or does not exist. A change that
    /// [`RevisionState::can_become`] excludes is a conflict.
    async fn change_revision_state(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
        state: RevisionState,
    ) -> Result<bool, StoreError>;

    /// Chooses the default revision of a plugin; `None`: no choice. False: it is so already, or the plugin does not exist. A
    /// revision that is not enabled is a conflict.
    async fn choose_default_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Option<Digest>,
    ) -> Result<bool, StoreError>;

    /// Deletes a revision, and the plugin with its last one. False: it does not exist. A conflict if a campaign or an open
    /// update is pinned to it, or it was chosen as the default.
    async fn delete_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
    ) -> Result<bool, StoreError>;

    /// Adds to the usage counters of revisions.
    async fn record_plugin_usage(
        &self,
        tenant: TenantId,
        usage: Vec<(Digest, Usage)>,
    ) -> Result<(), StoreError>;
}

/// Why a revision was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutRevisionError {
    /// The plugin has another kind, which is fixed.
    #[error("the plugin exists with the kind `{}`, which cannot change", .0.as_str())]
    OtherKind(PluginKind),
    /// The plugin has this revision of the same version, with other bytes. Built-in plugins are exempt: each server may
    /// have been built with other bytes.
    #[error(
        "the plugin has a revision of this version with other bytes, {0}: build it with a new version"
    )]
    OtherBytes(Digest),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An upload that was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedUpload {
    /// sha256 of the component, which is not stored.
    pub digest: Digest,
    /// Why it was rejected.
    pub reason: String,
    /// Name of the user who uploaded it.
    pub by: String,
    /// Time of the rejection.
    pub at: Timestamp,
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
    /// Its state.
    pub state: RevisionState,
    /// Whether an administrator chose it as the default.
    pub is_chosen_default: bool,
    /// Number of campaigns that use it, ended ones too; not those that have moved to another one.
    pub campaigns: u64,
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
    /// In bytes: the maximum of all calls.
    pub peak_memory: u64,
}
