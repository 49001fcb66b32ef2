use async_trait::async_trait;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::PluginName,
};
use tidegate_engine::{
    Ctx,
    ports::{NewRevision, Plugins, Revision, StoreError, Usage},
};

use super::SqlStore;
use crate::plugins;

#[async_trait]
impl Plugins for SqlStore {
    async fn put_revision(&self, ctx: &Ctx, revision: NewRevision) -> Result<(), StoreError> {
        plugins::put_revision(&self.database, ctx, revision).await
    }

    async fn revisions(&self, tenant: TenantId) -> Result<Vec<Revision>, StoreError> {
        plugins::revisions(&self.database, tenant).await
    }

    async fn revision(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: Option<Digest>,
    ) -> Result<Option<Revision>, StoreError> {
        plugins::revision(&self.database, tenant, plugin, digest).await
    }

    async fn enable_revision(
        &self,
        ctx: &Ctx,
        plugin: &PluginName,
        digest: Digest,
        enabled: bool,
    ) -> Result<bool, StoreError> {
        plugins::enable_revision(&self.database, ctx, plugin, digest, enabled).await
    }

    async fn record_plugin_usage(
        &self,
        tenant: TenantId,
        usage: Vec<(Digest, Usage)>,
    ) -> Result<(), StoreError> {
        plugins::record_plugin_usage(&self.database, tenant, usage).await
    }
}
