use async_trait::async_trait;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{PluginName, RevisionState},
};
use tidegate_engine::{
    Ctx,
    ports::{
        NewRevision, Page, PageRequest, Plugins, PutRevisionError, RejectedUpload, Revision,
        StoreError, Usage,
    },
};

use super::SqlStore;
use crate::plugins;

#[async_trait]
impl Plugins for SqlStore {
    async fn put_revision(&self, ctx: &Ctx, revision: NewRevision) -> Result<(), PutRevisionError> {
        plugins::put_revision(&self.database, ctx, revision).await
    }

    async fn record_rejection(
        &self,
        ctx: &Ctx,
        digest: Digest,
        reason: &str,
    ) -> Result<(), StoreError> {
        plugins::record_rejection(&self.database, ctx, digest, reason).await
    }

    async fn list_rejections(
        &self,
        tenant: TenantId,
        page: PageRequest,
    ) -> Result<Page<RejectedUpload>, StoreError> {
        plugins::list_rejections(&self.database, tenant, page).await
    }

    async fn revisions(&self, tenant: TenantId) -> Result<Vec<Revision>, StoreError> {
        plugins::revisions(&self.database, tenant).await
    }

    async fn revisions_of(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Vec<Revision>, StoreError> {
        plugins::revisions_of(&self.database, tenant, plugin).await
    }

    async fn revision(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: Digest,
    ) -> Result<Option<Revision>, StoreError> {
        plugins::revision(&self.database, tenant, plugin, digest).await
    }

    async fn change_revision_state(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
        state: RevisionState,
    ) -> Result<bool, StoreError> {
        plugins::change_revision_state(&self.database, ctx, plugin, digest, state).await
    }

    async fn choose_default_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Option<Digest>,
    ) -> Result<bool, StoreError> {
        plugins::choose_default_revision(&self.database, ctx, plugin, digest).await
    }

    async fn delete_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
    ) -> Result<bool, StoreError> {
        plugins::delete_revision(&self.database, ctx, plugin, digest).await
    }

    async fn record_plugin_usage(
        &self,
        tenant: TenantId,
        usage: Vec<(Digest, Usage)>,
    ) -> Result<(), StoreError> {
        plugins::record_plugin_usage(&self.database, tenant, usage).await
    }
}
