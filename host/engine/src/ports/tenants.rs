use async_trait::async_trait;
use tidegate_core::{id::TenantId, settings::TenantSettings, time::Timestamp};

use crate::{Ctx, Role, ServerCtx};

use super::StoreError;

/// Tenants and their API keys.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Creates a tenant of this upper-case name.
    async fn create_tenant(&self, ctx: &ServerCtx, name: &str) -> Result<Tenant, StoreError>;

    /// The tenant of this upper-case name.
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError>;

    /// All tenants, ordered by id.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// The tenant of this id.
    async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// Changes a tenant's settings if they are still at the revision of `before`, increments the revision, and notifies
    /// all servers. False: they are at another revision, and nothing was changed.
    async fn change_settings(
        &self,
        ctx: &Ctx,
        before: &Tenant,
        settings: &TenantSettings,
    ) -> Result<bool, StoreError>;

    /// Stores an API key by its sha256.
    async fn create_key(&self, ctx: &Ctx, key: ApiKeyRecord) -> Result<(), StoreError>;

    /// The key of this sha256, including expired ones.
    async fn key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// Those of these keys that are stored, including expired ones.
    async fn existing_keys(
        &self,
        keys: &[(TenantId, [u8; 32])],
    ) -> Result<Vec<(TenantId, [u8; 32])>, StoreError>;

    /// The keys of a tenant in order of creation, including expired ones.
    async fn keys(&self, tenant: TenantId) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Deletes a tenant's key. False: the tenant has no key of this sha256.
    async fn delete_key(&self, ctx: &Ctx, sha256: [u8; 32]) -> Result<bool, StoreError>;

    /// Records when API keys were last used; a later time is kept.
    async fn record_key_use(&self, used: Vec<ApiKeyUse>) -> Result<(), StoreError>;

    /// Whether any API key exists.
    async fn has_keys(&self) -> Result<bool, StoreError>;
}

/// The owner of devices, firmware and campaigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Row id.
    pub id: TenantId,
    /// Upper case.
    pub name: String,
    /// Settings of the tenant.
    pub settings: TenantSettings,
    /// Incremented with every change of the settings.
    pub settings_revision: i64,
}

/// An API key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The tenant that the key gives access to.
    pub tenant: TenantId,
    /// Name of the user who acts with the key.
    pub user: String,
    /// Role of the user.
    pub role: Role,
    /// sha256 of the key.
    pub sha256: [u8; 32],
    /// When the key expires.
    pub expires_at: Option<Timestamp>,
    /// Creation time.
    pub created_at: Timestamp,
    /// When it was last used, accurate to a few seconds.
    pub last_used: Option<Timestamp>,
}

/// A use of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// Tenant of the key.
    pub tenant: TenantId,
    /// sha256 of the key.
    pub sha256: [u8; 32],
    /// When it was used.
    pub at: Timestamp,
}

/// An API key with its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The tenant that the key gives access to.
    pub tenant: Tenant,
    /// Name of the user who acts with the key.
    pub user: String,
    /// Role of the user.
    pub role: Role,
    /// When the key expires.
    pub expires_at: Option<Timestamp>,
}
